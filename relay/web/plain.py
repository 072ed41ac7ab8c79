"""The library without encryption on the school's network, beside a port with TLS.

Here: a second listening port and what it may be used for. Not here: who is a visitor (`lan`). A
tablet in a school without internet cannot look up the name that a certificate is for, so it comes
by address and by plain HTTP. It is given what visitors may have and nothing else: a token that
came along would be read by everybody on the air.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from classroom.errors import Refused
from relay.web.access import bearer

_log: Final = logging.getLogger("relay.service")

_PATHS: Final = (
    "/",
    "/library",
    "/status",
    "/favicon.svg",
    "/api/lessons",
    "/api/lessons/labels",
    "/api/lan",
    "/api/status",
    "/healthz",
)
_BEGINNINGS: Final = ("/assets/", "/archives/", "/app/", "/api/lan/")

IsNear = Callable[[web.Request], bool]


async def open_plain_site(runner: web.AppRunner, host: str, port: int) -> int | None:
    """Listen without TLS on `port` as well; the port that it became, None where it cannot be had.

    Lessons go on without it, so a port that is taken is told in the log and stops nothing.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        await web.SockSite(runner, sock).start()
    except OSError as error:
        sock.close()
        _log.warning("plain-port-not-opened", extra={"port": port, "reason": str(error)})
        return None
    return int(sock.getsockname()[1])


def plain_is_for_visitors(secure: Callable[[], bool], is_near: IsNear) -> Middleware:
    """Middleware: with TLS on the main port, a plain request may only visit the library.

    secure: whether the main port has TLS; is_near: whether a request is from the local network.
    """

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if secure() and not request.secure and not _may_be_plain(request, is_near):
            raise Refused(
                403,
                "https-needed",
                "Here the library alone is served, to devices on the school's network.",
                fix="Open the relay's https address.",
            )
        return await handler(request)

    return middleware


def _may_be_plain(request: web.Request, is_near: IsNear) -> bool:
    path = request.path
    return (
        request.method in ("GET", "HEAD", "OPTIONS")
        and (path in _PATHS or path.startswith(_BEGINNINGS))
        and not bearer(request, query=True)
        and is_near(request)
    )
