"""The relay's settings: frozen, read once at start; config/relay.toml lists every key.

Command-line flags override the file. Bounds are checked here, so that a wrong value stops the
start with a sentence and never a lesson.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final

from classroom.errors import Misuse


@dataclass(frozen=True)
class MediaSettings:
    """The media process. Addresses are IP addresses, times seconds, rates bit/s."""

    udp_host: str = "0.0.0.0"
    udp_port: int = 8082
    tcp_port: int = 0
    announce: tuple[str, ...] = ()
    viewers_max: int = 1000
    session_seconds: float = 600.0
    beat_seconds: float = 8.0
    start_bitrate: float = 60_000.0

    def __post_init__(self) -> None:
        for name, address in (
            ("udp_host", self.udp_host),
            *(("announce", one) for one in self.announce),
        ):
            try:
                ip_address(address)
            except ValueError as error:
                raise Misuse(f"media.{name} holds {address!r}; it must be an IP address") from error
        _within("media.udp_port", self.udp_port, 0, 65_535)
        _within("media.tcp_port", self.tcp_port, -1, 65_535)
        _within("media.viewers_max", self.viewers_max, 1, 10_000)
        _within("media.session_seconds", self.session_seconds, 30, 86_400)
        _within("media.beat_seconds", self.beat_seconds, 2, 30)
        _within("media.start_bitrate", self.start_bitrate, 30_000, 20_000_000)


@dataclass(frozen=True)
class RelaySettings:
    """The relay as a whole. data: directory of archives, keys' copy and state.

    What may be left out is None; the file, which knows no null, writes "" for it.
    ice_servers: STUN and TURN addresses for peers, "stun:HOST" or "turn:HOST USER PASSWORD".
    """

    host: str = "0.0.0.0"
    port: int = 8081
    public_url: str | None = None
    central: str = "http://127.0.0.1:8080"
    ice_servers: tuple[str, ...] = ()
    token: str | None = None
    token_file: str | None = None
    name: str = "root"
    data: str = "relay-data"
    tls_certificate: str | None = None
    tls_key: str | None = None
    media: MediaSettings = field(default_factory=MediaSettings)

    def __post_init__(self) -> None:
        for name in ("public_url", "token", "token_file", "tls_certificate", "tls_key"):
            if getattr(self, name) == "":
                object.__setattr__(self, name, None)
        _within("port", self.port, 0, 65_535)
        if not self.name or len(self.name) > 60:
            raise Misuse("name must be 1 to 60 characters")
        if not self.data:
            raise Misuse("data must name a directory")
        for name in ("central", "public_url"):
            url = getattr(self, name)
            if url is not None and not _HTTP.match(url):
                raise Misuse(f"{name} is {url!r}; it must be an http or https address")
        for server in self.ice_servers:
            if not _ICE_SERVER.match(server):
                raise Misuse(
                    f'ice_servers holds {server!r}; write "stun:HOST:PORT" or '
                    '"turn:HOST:PORT USER PASSWORD"'
                )
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise Misuse("tls_certificate and tls_key go together: set both or neither")


_HTTP: Final = re.compile(r"https?://[^/\s?#]+/?\Z")
_HOST: Final = r"[\w.\-\[\]:]+(\?transport=(udp|tcp))?"
# What stands in a quoted string of a Link header must need no escape there.
_ICE_SERVER: Final = re.compile(rf'stuns?:{_HOST}\Z|turns?:{_HOST} [^\s"\\]+ [^\s"\\]+\Z', re.A)


def _within(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise Misuse(f"{name} is {value}; it must be from {least} to {most}")
