"""Who asks over HTTP, for which lesson, and whether such a caller sees lessons at all.

What one may do with a lesson beyond seeing it is each handler's affair.
"""

from __future__ import annotations

from aiohttp import web

from classroom.lessons import Lesson, unknown_lesson
from classroom.tokens import Claims, Right, require, require_lesson
from classroom.web.bodies import claims_of
from classroom.web.context import Context, context_of
from classroom.wire import is_lesson_id

_SEES_LESSONS = (Right.WATCH, Right.REPLAY, Right.MANAGE, Right.PUBLISH)


def caller(request: web.Request) -> tuple[Context, Claims]:
    """The context, and what the caller's token says; Refused 401, 403 `relay-revoked`."""
    context = context_of(request)
    claims = claims_of(request, context.verifier, context.wall())
    context.hub.check(claims)
    return context, claims


def lesson_in(request: web.Request, claims: Claims) -> str:
    """The lesson in the path; Refused 404 if it can be none, 403 if the token is for another."""
    found = request.match_info["lesson"]
    if not is_lesson_id(found):
        raise unknown_lesson(found[:60])
    require_lesson(claims, found)
    return found


def require_sight(claims: Claims, *more: Right) -> None:
    """Raise Refused 403 unless the caller sees lessons, or has one of the rights in `more`."""
    if not any(right in claims.rights for right in (*_SEES_LESSONS, *more)):
        require(claims, Right.WATCH, None)


def require_change(claims: Claims, lesson: Lesson) -> None:
    """Raise Refused 403 unless the caller planned `lesson` or manages it."""
    if claims.subject != lesson.owner:
        require(claims, Right.MANAGE, lesson.id)
