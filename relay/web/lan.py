"""Pupils on the school's network: who counts as being there, and at which addresses they find us.

Here: the rule for visitors without a link, this machine's addresses, and `GET /api/lan` with its QR
code. Not here: what a visitor sees (`library`, `archives`), multicast DNS (`mdns`). A visitor is
whoever asks from an address that no router passes on (RFC 1918, RFC 4193, RFC 3927, RFC 4291
2.5.6), by one of our own local addresses, straight and for a page of our own.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final
from urllib.parse import urlsplit

import ifaddr
import segno
from aiohttp import web

from classroom.errors import Refused
from classroom.tokens import ANY_LESSON, Claims, Right, Role
from relay.settings import RelaySettings

VISITOR: Final = Claims("visitor", "", Role.VIEWER, ANY_LESSON, frozenset({Right.REPLAY}), 0, 0, "")
"""What somebody without a link may do here: watch recordings, and of those only published ones."""

_LOCAL: Final = tuple(
    ip_network(text)
    for text in (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "169.254.0.0/16",
        "127.0.0.0/8",
        "fc00::/7",
        "fe80::/10",
        "::1/128",
    )
)
# What a proxy adds: then the address of the connection is the proxy's, and says nothing.
_FORWARDED: Final = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")
# Networks inside this machine, of containers and virtual machines: no tablet is in them.
_INSIDE: Final = ("lo", "docker", "br-", "veth", "virbr", "tun", "wg", "tap", "lxc", "cni")
_QR_SCALE: Final = 8  # px a module; pages scale the drawing as they need it


def is_local(address: str) -> bool:
    """Whether an IP address is of a local network. False for what is no address."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return any(found.version == network.version and found in network for network in _LOCAL)


def local_addresses() -> list[str]:
    """This machine's addresses on local networks, IPv4 first. Blocking, for a millisecond."""
    found: list[str] = []
    for adapter in ifaddr.get_adapters():
        if adapter.name.startswith(_INSIDE):
            continue
        for each in adapter.ips:
            text = each.ip if isinstance(each.ip, str) else each.ip[0]
            # Link-local addresses need a zone, which no link in a browser can carry (RFC 6874).
            if is_local(text) and not ip_address(text).is_link_local:
                found.append(text)
    return sorted(found, key=lambda text: (":" in text, not text.startswith("192.168.")))


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the library is served. port: the relay's HTTP port, 0 before it listens. secure: with
    TLS. plain: the port without TLS beside a secure one, None for none."""

    port: int = 0
    secure: bool = False
    plain: int | None = None


class Lan:
    """The relay on its school's network."""

    def __init__(
        self,
        settings: RelaySettings,
        *,
        is_published: Callable[[str], bool],
        addresses: Callable[[], Iterable[str]] = local_addresses,
    ) -> None:
        """is_published(lesson): whether its recording is for everybody; asked at each request.

        addresses: this machine's local ones. Where the relay listens on one alone, that counts.
        """
        wanted = settings.replay.visitors
        self.visitors = wanted == "on" or (wanted == "auto" and bool(settings.parents))
        """Whether people without a link may watch."""
        self.ports = Ports()
        self.host_name: str | None = None
        """The name by which `mdns` announces this machine, "NAME.local"; None while it does not."""
        self._name = settings.name
        self._host = settings.host
        self._public = urlsplit(settings.public_url or "")
        self._is_published = is_published
        self._addresses = addresses if _is_any(settings.host) else lambda: (settings.host,)

    def add_routes(self, app: web.Application) -> None:
        """GET /api/lan and GET /api/lan/qr.svg."""
        app.router.add_get("/api/lan", self._tell)
        app.router.add_get("/api/lan/qr.svg", self._draw)

    def admit(self, request: web.Request, lesson: str | None) -> Claims | None:
        """What somebody without a link may do with `lesson`, or with the list; None: nothing."""
        if not self.visitors or not self.is_near(request):
            return None
        if lesson is not None and not self._is_published(lesson):
            return None
        return VISITOR

    def is_near(self, request: web.Request) -> bool:
        """Whether the request comes straight from a local network, for a page of our own.

        A foreign site that a pupil opens can make the browser ask us, too: then `Origin` names
        that site, or (where its name was made to lead here) `Host` does.
        """
        # Where the relay listens on one address alone, this machine asks itself from that.
        if not is_local(request.remote or "") and request.remote != self._host:
            return False
        if any(name in request.headers for name in _FORWARDED):
            return False
        host = request.host
        origin = request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return False
        if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            return False
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
        own = ("localhost", self._public.hostname, self._host)
        return is_local(name) or name.endswith(".local") or name in own

    def places(self) -> list[str]:
        """Addresses of the library on this network, the best first. Blocking."""
        scheme, port = ("http", self.ports.port)
        if self.ports.secure:
            if self.ports.plain is None:
                # A certificate is for a name: by its address a tablet would be warned.
                return [self.secure] if self.secure is not None else []
            port = self.ports.plain
        names = [f"[{text}]" if ":" in text else text for text in self._addresses()]
        if self.host_name is not None:
            names.append(self.host_name)
        return [f"{scheme}://{name}:{port}/library" for name in names]

    @property
    def secure(self) -> str | None:
        """The library by https, where a tablet may keep lessons; None without a certificate."""
        if self._public.scheme != "https":
            return None
        return f"https://{self._public.netloc}/library"

    async def _tell(self, request: web.Request) -> web.Response:
        self._require_near(request)
        document = {
            "name": self._name,
            "visitors": self.visitors,
            "addresses": self.places() if self.visitors else [],
            "secure": self.secure,
        }
        return web.json_response(document, headers={"Cache-Control": "no-cache"})

    async def _draw(self, request: web.Request) -> web.Response:
        self._require_near(request)
        places = self.places() if self.visitors else []
        if not places:
            raise Refused(
                404,
                "lan-closed",
                "This relay serves nobody without a link.",
                fix="Open the library with a link, or let visitors in the relay's settings.",
            )
        out = io.BytesIO()
        code = segno.make(places[0], error="m", micro=False)
        code.save(out, kind="svg", scale=_QR_SCALE, border=4, light="#fff", xmldecl=False)
        return web.Response(
            body=out.getvalue(),
            content_type="image/svg+xml",
            headers={"Cache-Control": "no-cache"},
        )

    def _require_near(self, request: web.Request) -> None:
        if not self.is_near(request):
            raise Refused(
                404,
                "lan-closed",
                "This is told on the relay's own network alone.",
                fix="Ask from a device on the school's network.",
            )


def _is_any(host: str) -> bool:
    """Whether a listening address stands for all of the machine's addresses, or names none."""
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return True
