"""The HTTP boundary: errors become problem+json once, and every answer carries the same headers.

`Refused` and `Absent` are answered with their status and a sentence (RFC 9457); aiohttp's own
errors likewise; anything else is a bug, logged with its trace and answered 500. A browser that was
sent to an address where nothing is gets a page instead. Any origin may call, since tokens and not
cookies say who somebody is.
"""

from __future__ import annotations

import logging
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from classroom.errors import (
    MISSING_PAGE,
    PROBLEM_CONTENT_TYPE,
    Absent,
    Refused,
    http_refusal,
    internal_error,
    problem,
)

_log: Final = logging.getLogger("relay.service")

CORS: Final = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Location, ETag, Link, Retry-After, Content-Range",
}
_PREFLIGHT: Final = {
    "Access-Control-Allow-Methods": "GET, HEAD, POST, PATCH, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": (
        "Authorization, Content-Type, Content-Encoding, If-Match, If-None-Match, Range"
    ),
    "Access-Control-Max-Age": "86400",
}
# Pages fetch nothing from other hosts but relays and the control plane, which they are told of.
SECURITY: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
        "media-src 'self' blob: data:; frame-src blob:; connect-src *; worker-src 'self' blob:; "
        "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
}


def answer_problem(error: Refused | Absent) -> web.Response:
    """The error as an HTTP answer."""
    document = problem(error)
    status = document["status"]
    assert isinstance(status, int)
    headers = {}
    if isinstance(error, Absent):
        headers["Retry-After"] = str(max(1, round(error.retry_after)))
    if status == 503:
        headers.setdefault("Retry-After", "5")
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if status == 426:
        headers["Upgrade"] = "websocket"
    return web.json_response(
        document, status=status, headers=headers, content_type=PROBLEM_CONTENT_TYPE
    )


@web.middleware
async def boundary(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Errors out, headers on."""
    if request.method == "OPTIONS":
        try:
            response = await handler(request)
        except web.HTTPException:
            # A preflight is not told what exists here; the request itself will be.
            response = web.Response(status=204)
        response.headers.update(CORS | _PREFLIGHT)
        return response
    try:
        response = await handler(request)
    except (Refused, Absent) as error:
        response = answer_problem(error)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        response = _own_problem(request, error)
    except ConnectionError:
        raise
    # A bug in a handler must not take the other rooms with it; it is logged in full.
    except Exception:
        facts = {"method": request.method, "path": request.path}
        _log.exception("request-failed", extra=facts)
        response = answer_problem(internal_error())
    if not response.prepared:
        for name, value in (CORS | SECURITY).items():
            response.headers.setdefault(name, value)
    return response


def _own_problem(request: web.Request, error: web.HTTPException) -> web.Response:
    if error.status == 404 and _is_for_people(request):
        return web.Response(status=404, text=MISSING_PAGE, content_type="text/html")
    allowed = error.allowed_methods if isinstance(error, web.HTTPMethodNotAllowed) else ()
    limit = request.client_max_size
    refusal = http_refusal(error.status, method=request.method, allowed=allowed, limit=limit)
    response = answer_problem(refusal)
    if "Allow" in error.headers:
        response.headers["Allow"] = error.headers["Allow"]
    return response


def _is_for_people(request: web.Request) -> bool:
    """Whether a browser asks because somebody opened the address."""
    people = request.method in ("GET", "HEAD") and not request.path.startswith("/api/")
    return people and "text/html" in request.headers.get("Accept", "")
