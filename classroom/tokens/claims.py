"""What a token says: who holds it, in which role, for which lesson, with which rights, how long.

Here live the words and the one question asked of them, `require`. Signing and checking live in
`keys`. Times are unix seconds, whole. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from classroom.errors import Refused

# The `lesson` of a token that is good for every lesson.
ANY_LESSON: Final = "*"


class Role(StrEnum):
    """Who a token's holder is. Rooms, not pupils, hold tokens."""

    TEACHER = "teacher"
    ROOM = "room"
    VIEWER = "viewer"
    RELAY = "relay"


class Right(StrEnum):
    """What a token's holder may do, in the token's lesson."""

    PUBLISH = "publish"
    WATCH = "watch"
    REPLAY = "replay"
    TALK = "talk"
    MANAGE = "manage"
    RELAY = "relay"


DEFAULT_RIGHTS: Final[Mapping[Role, frozenset[Right]]] = MappingProxyType(
    {
        Role.TEACHER: frozenset({Right.PUBLISH, Right.WATCH, Right.REPLAY, Right.MANAGE}),
        Role.ROOM: frozenset({Right.WATCH, Right.REPLAY, Right.TALK}),
        Role.VIEWER: frozenset({Right.WATCH, Right.REPLAY}),
        Role.RELAY: frozenset({Right.RELAY, Right.WATCH, Right.REPLAY}),
    }
)


@dataclass(frozen=True, slots=True)
class Claims:
    """The checked content of a token.

    subject: stable id of the holder; name: what people call it (may be empty).
    lesson: a lesson id, or ANY_LESSON.
    issued_at, expires_at: unix seconds; the token is good while now < expires_at.
    token_id: unique per token, kept in the records so that a link can be traced.
    """

    subject: str
    name: str
    role: Role
    lesson: str
    rights: frozenset[Right]
    issued_at: int
    expires_at: int
    token_id: str

    def covers(self, lesson: str) -> bool:
        """Whether the token is good for `lesson`, whatever may be done there."""
        return self.lesson in (ANY_LESSON, lesson)


def require(claims: Claims, right: Right, lesson: str | None) -> None:
    """Raise Refused 403 `right-missing` or `wrong-lesson` unless the holder may.

    lesson: the lesson that is asked for; None where the request concerns none in particular.
    """
    if right not in claims.rights:
        raise Refused(
            403,
            "right-missing",
            f"This link does not allow to {_DEEDS[right]}.",
            fix="Ask whoever sent you the link for one that does.",
            field="Authorization",
        )
    if lesson is not None:
        require_lesson(claims, lesson)


def require_lesson(claims: Claims, lesson: str) -> None:
    """Raise Refused 403 `wrong-lesson` unless the token is good for `lesson`."""
    if not claims.covers(lesson):
        raise Refused(
            403,
            "wrong-lesson",
            f"This link is for the lesson {claims.lesson!r}, not for {lesson!r}.",
            fix="Open the link of this lesson, or ask the teacher for it.",
            field="Authorization",
        )


_DEEDS: Final[Mapping[Right, str]] = {
    Right.PUBLISH: "teach",
    Right.WATCH: "watch a lesson",
    Right.REPLAY: "watch recordings",
    Right.TALK: "speak in a lesson",
    Right.MANAGE: "manage lessons",
    Right.RELAY: "serve as a relay",
}
