"""The HTTP boundary: errors become problem+json once, and every answer carries the same headers.

`Refused` and `Absent` are answered with their status and a sentence (RFC 9457); aiohttp's own
errors likewise; anything else is a bug, logged with its trace and answered 500. Any origin may
call, since tokens and not cookies say who somebody is.
"""

from __future__ import annotations

import logging
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from classroom.errors import PROBLEM_CONTENT_TYPE, Absent, Refused, problem

_log: Final = logging.getLogger("relay.service")

CORS: Final = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Location, ETag, Link, Retry-After, Content-Range",
}
_PREFLIGHT: Final = {
    "Access-Control-Allow-Methods": "GET, HEAD, POST, PATCH, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, If-Match, Range",
    "Access-Control-Max-Age": "86400",
}
# Pages fetch nothing from other hosts but relays and the control plane, which they are told of.
SECURITY: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
        "media-src 'self' blob:; connect-src *; worker-src 'self' blob:; manifest-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
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
    except web.HTTPRequestEntityTooLarge:
        response = answer_problem(
            Refused(
                413,
                "body-too-large",
                "The request's body is too large.",
                fix="Send at most 64 KiB.",
                field="body",
            )
        )
    except web.HTTPNotFound:
        response = answer_problem(
            Refused(
                404,
                "not-found",
                "There is nothing at this address.",
                fix="Check the link you were given.",
            )
        )
    except web.HTTPMethodNotAllowed as error:
        response = answer_problem(
            Refused(
                405,
                "method-not-allowed",
                f"{request.method} cannot be used here.",
                fix=f"Use {', '.join(sorted(error.allowed_methods))}.",
                field="method",
            )
        )
        response.headers["Allow"] = ", ".join(sorted(error.allowed_methods))
    except web.HTTPException as error:
        if error.status < 400:
            raise
        response = answer_problem(
            Refused(error.status, "bad-request", f"{error.reason}.", fix="Check the request.")
        )
    except ConnectionError:
        raise
    except Exception:
        _log.exception("request failed", extra={"method": request.method, "path": request.path})
        response = answer_problem(
            Refused(
                500,
                "internal-error",
                "The relay made a mistake.",
                fix="Try again; if it stays, tell whoever looks after the relay.",
            )
        )
    if not response.prepared:
        for name, value in (CORS | SECURITY).items():
            response.headers.setdefault(name, value)
    return response
