"""The library's name on the school's network, by multicast DNS (RFC 6762, RFC 6763).

Here: saying "thuvien-NAME.local" and "_http._tcp", and saying it anew when addresses change. Not
here: the address that is printed (`lan`). Phones and old Windows do not ask for such names, so this
is a second way and never the only one; whatever fails with it is logged, and the relay goes on.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Final

from zeroconf import Error, ServiceInfo
from zeroconf.asyncio import AsyncZeroconf

from classroom.library import fold
from relay.web.lan import Lan

_log: Final = logging.getLogger("relay.service")

KIND: Final = "_http._tcp.local."
_LOOK_SECONDS: Final = 30.0
"""How soon a changed address is noticed: a cable was plugged in, or the router gave another one."""
_MAX_LABEL: Final = 63  # octets of a DNS label (RFC 1035 2.3.4)


def host_label(name: str) -> str:
    """The label for a relay called `name`: "Trường Nà Hỳ" becomes "thuvien-truong-na-hy"."""
    plain = re.sub(r"[^a-z0-9]+", "-", fold(name)).strip("-")
    return f"thuvien-{plain}"[:_MAX_LABEL].rstrip("-")


class Announcer:
    """Says where the library is for as long as `run` runs."""

    def __init__(
        self,
        lan: Lan,
        name: str,
        addresses: Callable[[], Sequence[str]],
        look: float = _LOOK_SECONDS,
    ) -> None:
        """name: of the relay. addresses: IP addresses to announce and to speak on."""
        self._lan = lan
        self._name = name
        self._addresses = addresses
        self._look = look

    async def run(self) -> None:
        """Until cancelled; takes the name back at the end."""
        while True:
            addresses = await asyncio.to_thread(self._addresses)
            if not addresses or self._lan.ports.port == 0:
                await asyncio.sleep(self._look)
                continue
            try:
                await self._announce(addresses)
            except (OSError, Error) as error:
                _log.warning("name-not-announced", extra={"reason": str(error) or repr(error)})
                await asyncio.sleep(self._look)
            finally:
                self._lan.host_name = None

    async def _announce(self, addresses: Sequence[str]) -> None:
        """Answer for the name until the machine's addresses are others."""
        label = host_label(self._name)
        ports = self._lan.ports
        info = ServiceInfo(
            KIND,
            f"{label}.{KIND}",
            port=ports.plain or ports.port,
            addresses=[ip_address(text).packed for text in addresses],
            properties={"path": "/library"},
            server=f"{label}.local.",
        )
        responder = AsyncZeroconf(interfaces=list(addresses))
        try:
            await responder.async_register_service(info, allow_name_change=True)
            self._lan.host_name = f"{label}.local"
            _log.info("name-announced", extra={"host": f"{label}.local"})
            while True:
                await asyncio.sleep(self._look)
                if await asyncio.to_thread(self._addresses) != addresses:
                    return
        finally:
            await responder.async_close()
