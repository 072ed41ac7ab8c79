"""Links: which claims a new link carries and which page it opens.

A teacher may hand out room and viewer links for lessons she manages; teacher and relay links are
made at the server's own command line. Times are unix seconds. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from classroom.errors import Refused
from classroom.tokens import ANY_LESSON, DEFAULT_RIGHTS, Claims, Right, Role, require

# The page that a role's link opens; a relay has none, its token goes into its settings.
PAGES: Final[Mapping[Role, str | None]] = MappingProxyType(
    {Role.TEACHER: "/teach", Role.ROOM: "/room", Role.VIEWER: "/library", Role.RELAY: None}
)
_DAY_S: Final = 86400


@dataclass(frozen=True, slots=True)
class LinkOrder:
    """A link to be made. `name` is the room's or person's, shown to the teacher."""

    role: Role
    lesson: str
    name: str
    days: float


def claims_for(order: LinkOrder, *, token_id: str, now: float) -> Claims:
    """The claims of a new link; `token_id` is a fresh random id, also used for the subject."""
    return Claims(
        subject=f"{order.role.value}-{token_id}",
        name=order.name,
        role=order.role,
        lesson=order.lesson,
        rights=DEFAULT_RIGHTS[order.role],
        issued_at=int(now),
        expires_at=int(now + order.days * _DAY_S),
        token_id=token_id,
    )


def publish_claims(
    teacher: Claims, lesson: str, *, hours: float, token_id: str, now: float
) -> Claims:
    """The claims that a teacher's page publishes one lesson with; they outlive no link."""
    return Claims(
        subject=teacher.subject,
        name=teacher.name,
        role=Role.TEACHER,
        lesson=lesson,
        rights=frozenset({Right.PUBLISH, Right.WATCH}),
        issued_at=int(now),
        expires_at=min(int(now + hours * 3600), teacher.expires_at),
        token_id=token_id,
    )


def require_may_issue(claims: Claims, role: Role, lesson: str) -> None:
    """Raise Refused 403 unless the holder of `claims` may hand out a link of `role`."""
    require(claims, Right.MANAGE, None if lesson == ANY_LESSON else lesson)
    if role not in (Role.ROOM, Role.VIEWER):
        raise Refused(
            403,
            "role-not-yours",
            f"Links of the role {role.value} are made on the server only.",
            fix=f"Ask your technician to run: classroom link {role.value}",
            field="role",
        )
