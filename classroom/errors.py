"""The one small tree of errors, by whose fault it is, and their form at the HTTP boundary.

    ClassroomError
    ├── Misuse      ours: this program or its operator used something wrongly (a bad setting)
    ├── Refused     theirs: a peer sent what cannot be accepted; carries the HTTP status to answer
    └── Absent      nobody's: a peer, a disk or a device is not there now; trying again may help

Only these are caught at a boundary and shown to people. Any other exception is a bug and may end
its task. `problem()` gives the RFC 9457 body (application/problem+json) for a `Refused` or
`Absent`. Pure: imports nothing of ours.
"""

from __future__ import annotations

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
