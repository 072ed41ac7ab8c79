"""The one small tree of errors, by whose fault it is, and their form at the HTTP boundary.

    ClassroomError
    ├── Misuse      ours: this program or its operator used something wrongly (a bad setting)
    ├── Refused     theirs: a peer sent what cannot be accepted; carries the HTTP status to answer
    └── Absent      nobody's: a peer, a disk or a device is not there now; trying again may help

Only these are caught at a boundary and shown to people. Any other exception is a bug and may end
its task. `problem()` gives the RFC 9457 body (application/problem+json) for a `Refused` or
`Absent`. What any HTTP server refuses stands here once, so that both planes say it in the same
words and under the same names. Pure: imports nothing of ours.
"""

from __future__ import annotations

import http
from collections.abc import Iterable, Mapping
from typing import Final

PROBLEM_CONTENT_TYPE: Final = "application/problem+json"


class ClassroomError(Exception):
    """Base of everything that this project raises on purpose."""


class Misuse(ClassroomError):
    """Our side or its operator is wrong: the message names the setting or argument and the fix."""


class Refused(ClassroomError):
    """A peer's request cannot be accepted.

    status: HTTP status, 400 to 599.
    code: stable short name in kebab-case, for programs ("lesson-taken").
    detail: one sentence for people: what is wrong.
    fix: one sentence for people: what to do now.
    field: the part of the request at fault ("a=fingerprint", "token.exp"), or None.
    """

    def __init__(
        self, status: int, code: str, detail: str, *, fix: str, field: str | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.fix = fix
        self.field = field


class Absent(ClassroomError):
    """Something needed is not there now; `retry_after` is seconds until a retry makes sense."""

    def __init__(self, what: str, *, fix: str, retry_after: float = 2.0) -> None:
        super().__init__(what)
        self.what = what
        self.fix = fix
        self.retry_after = retry_after


def problem(error: Refused | Absent) -> dict[str, object]:
    """The RFC 9457 problem document for `error`; its `status` member is the HTTP status."""
    if isinstance(error, Absent):
        return {
            "type": "urn:classroom:problem:absent",
            "title": "Not available now",
            "status": 503,
            "detail": error.what,
            "fix": error.fix,
        }
    body: dict[str, object] = {
        "type": f"urn:classroom:problem:{error.code}",
        "title": error.code.replace("-", " ").capitalize(),
        "status": error.status,
        "detail": error.detail,
        "fix": error.fix,
    }
    if error.field is not None:
        body["field"] = error.field
    return body


# For a browser that was sent to an address where nothing is. No style: the pages' own files carry a
# digest in their names, and the security headers allow no style within the page.
MISSING_PAGE: Final = """<!doctype html>
<html lang="vi"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>Không có trang này · No such page</title>
<main><h1>Không có trang này</h1>
<p>Địa chỉ có thể bị gõ nhầm. Hãy mở lại đường liên kết bạn đã nhận, hoặc
<a href="/">về trang đầu</a>.</p>
<section lang="en"><h2>No such page</h2>
<p>The address may be mistyped. Open the link you were given again, or
<a href="/">go to the start page</a>.</p></section></main></html>
"""


def http_refusal(
    status: int, *, method: str = "", allowed: Iterable[str] = (), limit: int = 0
) -> Refused:
    """What the HTTP library itself refused, as our refusal with the same status.

    method: as it was asked. allowed: methods that would do, for a 405. limit: bytes that a body
    may have, for a 413.
    """
    if status == 404:
        return Refused(
            404,
            "not-found",
            "There is nothing at this address.",
            fix="Check the address, or open the link you were given again.",
            field="path",
        )
    if status == 405:
        return Refused(
            405,
            "method-not-allowed",
            f"{method[:20]} cannot be used at this address.",
            fix=f"Use {' or '.join(sorted(allowed))}.",
            field="method",
        )
    if status == 413:
        return Refused(
            413,
            "body-too-large",
            f"The body is larger than {_size(limit)}.",
            fix=f"Send at most {_size(limit)} in one request.",
            field="body",
        )
    phrase = http.HTTPStatus(status).phrase
    return Refused(
        status,
        phrase.lower().replace(" ", "-"),
        f"The request cannot be answered: {phrase}.",
        fix="Check the request and send it again.",
        field="request",
    )


def _size(limit: int) -> str:
    return f"{limit} bytes" if limit % 1024 else f"{limit // 1024} KiB"


def internal_error() -> Refused:
    """A bug of ours, noted in the log; the peer learns no more than this."""
    return Refused(
        500,
        "internal-error",
        "The server made a mistake; it has been noted in its log.",
        fix="Try again; if it happens again, tell your technician when it happened.",
    )


def require_body(content_type: str, headers: Mapping[str, str], wanted: str) -> None:
    """Raise Refused 415 media-type-unsupported unless a body is of the type `wanted`, as it is.

    content_type: the body's, without parameters. headers: found by any case. A packed body is not
    taken: the largest honest one is small, and a small packed one can unfold to any size.
    """
    encoding = headers.get("Content-Encoding", "").strip()
    if encoding.lower() not in ("", "identity"):
        raise Refused(
            415,
            "media-type-unsupported",
            "A body with a content encoding is not taken.",
            fix="Send the body as it is, without the header Content-Encoding.",
            field="Content-Encoding",
        )
    if content_type != wanted:
        raise Refused(
            415,
            "media-type-unsupported",
            f"The body must be of the type {wanted}.",
            fix=f"Send it with the header Content-Type: {wanted}.",
            field="Content-Type",
        )


def websocket_refusal(headers: Mapping[str, str]) -> Refused:
    """Why a request, whose headers (found by any case) these are, opened no WebSocket."""
    if headers.get("Upgrade", "").lower() != "websocket":
        return Refused(
            426,
            "websocket-required",
            "This address answers WebSockets only.",
            fix="Open it as a WebSocket, with the header Upgrade: websocket (RFC 6455).",
            field="Upgrade",
        )
    version = headers.get("Sec-WebSocket-Version", "") == "13"
    return Refused(
        400,
        "websocket-malformed",
        "The request to open a WebSocket is not a right one.",
        fix="Open it with a WebSocket library of version 13 (RFC 6455), and no proxy that drops "
        "its headers.",
        field="Sec-WebSocket-Key" if version else "Sec-WebSocket-Version",
    )
