"""The HTTP boundary: errors become problem+json (RFC 9457), every answer gets its headers.

Refused and Absent are shown to people; aiohttp's own refusals get the same form; anything else is
a bug: logged with its trace, answered 500 without details. A browser that was sent to an address
where nothing is gets a page instead. Pages of any origin may call the API, since tokens and never
cookies say who somebody is.
"""

from __future__ import annotations

import time
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from classroom.errors import (
    MISSING_PAGE,
    PROBLEM_CONTENT_TYPE,
    Absent,
    Refused,
    http_refusal,
    internal_error,
    problem,
)
from classroom.web.logs import LOG
from classroom.web.metrics import Metrics

# Relays have addresses of their own, known only when a lesson starts (and they can change while a
# page is open), so a page may connect and play from elsewhere; code and styles come from here
# only. hls.js runs its worker from a blob.
_CSP: Final = "; ".join(
    (
        "default-src 'self'",
        "connect-src 'self' http: https: ws: wss:",
        "media-src 'self' blob: data: http: https:",
        "img-src 'self' data: blob:",
        # A lesson's files are fetched with a token and shown from a blob, PDF in a frame.
        "frame-src 'self' blob:",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
_HEADERS: Final = {
    "Content-Security-Policy": _CSP,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(self), display-capture=(self)",
}

_CORS: Final = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": (
        "Content-Disposition, Content-Range, ETag, Location, Retry-After"
    ),
}
_PREFLIGHT: Final = {
    "Access-Control-Allow-Methods": "GET, HEAD, POST, PUT, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, If-None-Match, Range",
    "Access-Control-Max-Age": "86400",
}


def problem_response(error: Refused | Absent) -> web.Response:
    """The response that tells `error`."""
    body = problem(error)
    status = body["status"]
    assert isinstance(status, int)
    response = web.json_response(body, status=status, content_type=PROBLEM_CONTENT_TYPE)
    if isinstance(error, Absent):
        response.headers["Retry-After"] = f"{max(1, round(error.retry_after))}"
    elif status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    elif status == 426:
        response.headers["Upgrade"] = "websocket"
    return response


def code_of(error: Refused | Absent) -> str:
    """The short name of `error`, for counters and logs."""
    return error.code if isinstance(error, Refused) else "absent"


def problems(metrics: Metrics) -> Middleware:
    """The outermost middleware: counts each request and turns errors into answers."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        began = time.monotonic()
        try:
            # A preflight is not told what exists here; the request itself will be.
            is_preflight = request.method == "OPTIONS" and _is_api(request)
            response = (
                web.Response(status=204, headers=_PREFLIGHT)
                if is_preflight
                else await handler(request)
            )
        except (Refused, Absent) as error:
            metrics.refusals.labels(code_of(error)).inc()
            response = problem_response(error)
        except web.HTTPException as error:
            if error.status < 400:
                raise
            response = _own_problem(request, error)
        # A bug in a handler must not take the other lessons with it; it is logged in full.
        except Exception:
            LOG.exception("request-failed", extra={"facts": {"path": request.path}})
            response = problem_response(internal_error())
        resource = request.match_info.route.resource
        route = resource.canonical if resource is not None else "unknown"
        metrics.requests.labels(_method(request), route, str(response.status)).inc()
        if not isinstance(response, web.WebSocketResponse):
            metrics.request_seconds.labels(route).observe(time.monotonic() - began)
        return response

    return middleware


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Headers of every response, and who may read the API's; for `on_response_prepare`."""
    headers = _HEADERS | _CORS if _is_api(request) else _HEADERS
    for name, value in headers.items():
        response.headers.setdefault(name, value)


def _is_api(request: web.Request) -> bool:
    return request.path.startswith("/api/")


def _method(request: web.Request) -> str:
    # A client can invent methods; each would become a new time series.
    known = ("GET", "HEAD", "POST", "OPTIONS", "PUT", "PATCH", "DELETE")
    return request.method if request.method in known else "other"


def _own_problem(request: web.Request, error: web.HTTPException) -> web.Response:
    if error.status == 404 and not _is_api(request) and _is_for_people(request):
        return web.Response(status=404, text=MISSING_PAGE, content_type="text/html")
    allowed = error.allowed_methods if isinstance(error, web.HTTPMethodNotAllowed) else ()
    limit = request.client_max_size
    refusal = http_refusal(error.status, method=request.method, allowed=allowed, limit=limit)
    response = problem_response(refusal)
    if "Allow" in error.headers:
        response.headers["Allow"] = error.headers["Allow"]
    return response


def _is_for_people(request: web.Request) -> bool:
    """Whether a browser asks because somebody opened the address."""
    return request.method in ("GET", "HEAD") and "text/html" in request.headers.get("Accept", "")
