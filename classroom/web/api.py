"""The HTTP API: lessons, links, keys, relays; the document of it is `openapi`.

A handler checks who asks, reads the body, asks the desk and shapes the answer; nothing else. Each
error is a problem document (see `problems`).
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from aiohttp import web

from classroom.accounts import PAGES, LinkOrder, claims_for, publish_claims, require_may_issue
from classroom.library import read_listing
from classroom.tokens import ANY_LESSON, Right, Role, require, require_lesson
from classroom.web.answers import Listed, listed
from classroom.web.bodies import NewLesson, NewLink, json_body
from classroom.web.callers import caller, lesson_in, require_change, require_sight
from classroom.web.context import Context, context_of
from classroom.web.views import LessonView


async def keys(request: web.Request) -> web.Response:
    """GET /api/keys: the public keys that relays check tokens with."""
    return web.json_response(context_of(request).signer.jwks())


async def me(request: web.Request) -> web.Response:
    """GET /api/me: what the caller's token says."""
    _, claims = caller(request)
    return web.json_response(
        {
            "subject": claims.subject,
            "name": claims.name,
            "role": claims.role.value,
            "lesson": claims.lesson,
            "rights": sorted(right.value for right in claims.rights),
            "expires_at": claims.expires_at,
        }
    )


async def list_lessons(request: web.Request) -> web.Response:
    """GET /api/lessons: those that the caller may see, found and filtered; 304 if unchanged."""
    context, claims = caller(request)
    require_sight(claims)

    def shape(found: Sequence[LessonView], total: int) -> Listed:
        lessons = [shown.as_json(claims.subject) for shown in found]
        return Listed.of({"lessons": lessons, "total": total})

    only = None if claims.lesson == ANY_LESSON else claims.lesson
    return listed(request, await context.desk.find(read_listing(request.query), only, shape))


async def create_lesson(request: web.Request) -> web.Response:
    """POST /api/lessons: plan a lesson."""
    context, claims = caller(request)
    require(claims, Right.MANAGE, None)
    body = await json_body(request, NewLesson)
    # A teacher whose link is for one lesson may plan that lesson only.
    if claims.lesson not in (ANY_LESSON, body.id):
        require_lesson(claims, body.id or "new")
    shown = await context.desk.plan(
        body.title,
        teacher=claims.name,
        by=claims.subject,
        lesson_id=body.id,
        subject=body.subject,
        grade=body.grade,
        school=body.school,
        planned_at=body.planned_at,
    )
    location = f"/api/lessons/{shown.lesson.id}"
    return web.json_response(
        shown.as_json(claims.subject), status=201, headers={"Location": location}
    )


async def get_lesson(request: web.Request) -> web.Response:
    """GET /api/lessons/{id}."""
    context, claims = caller(request)
    require_sight(claims)
    shown = await context.desk.show(lesson_in(request, claims))
    return web.json_response(shown.as_json(claims.subject))


async def remove_lesson(request: web.Request) -> web.Response:
    """DELETE /api/lessons/{id}: a planned lesson will not be; by whoever planned it or manages."""
    context, claims = caller(request)
    lesson_id = lesson_in(request, claims)
    shown = await context.desk.show(lesson_id)
    require_change(claims, shown.lesson)
    await context.desk.remove(lesson_id, by=claims.subject)
    return web.Response(status=204)


async def start_lesson(request: web.Request) -> web.Response:
    """POST /api/lessons/{id}/start: go live; where to publish, and the token for it."""
    context, claims = caller(request)
    require(claims, Right.PUBLISH, None)
    lesson_id = lesson_in(request, claims)
    shown, relay = await context.desk.start(lesson_id, by=claims.subject)
    token = context.signer.sign(
        publish_claims(
            claims,
            lesson_id,
            hours=context.settings.lessons.publish_token_h,
            token_id=_token_id(),
            now=context.wall(),
        )
    )
    return web.json_response(
        {
            "lesson": shown.as_json(claims.subject),
            "whip": f"{relay.url}/whip/{lesson_id}",
            "token": token,
            "relay": relay.url,
        }
    )


async def end_lesson(request: web.Request) -> web.Response:
    """POST /api/lessons/{id}/end: the lesson is over; its relay finishes the archive."""
    context, claims = caller(request)
    require(claims, Right.MANAGE, None)
    lesson_id = lesson_in(request, claims)
    shown = await context.desk.end(lesson_id, by=claims.subject, reason="teacher-ended")
    return web.json_response(shown.as_json(claims.subject))


async def create_link(request: web.Request) -> web.Response:
    """POST /api/lessons/{id}/links: a link for a room or a viewer."""
    context, claims = caller(request)
    require(claims, Right.MANAGE, None)
    lesson_id = lesson_in(request, claims)
    body = await json_body(request, NewLink)
    require_may_issue(claims, body.role, lesson_id)
    shown = await context.desk.show(lesson_id)
    days = body.days if body.days is not None else context.settings.links.days_for(body.role)
    order = LinkOrder(body.role, lesson_id, body.name, days)
    new = claims_for(order, token_id=_token_id(), now=context.wall())
    await context.records.add_link(new, issued_by=claims.subject)
    token = context.signer.sign(new)
    base = await _base_of(request, context, shown, body)
    return web.json_response(
        {
            "url": f"{base}{PAGES[body.role]}#token={token}",
            "token": token,
            "expires_at": new.expires_at,
        },
        status=201,
    )


async def list_relays(request: web.Request) -> web.Response:
    """GET /api/relays: the root relays that are alive, and those below them."""
    context, claims = caller(request)
    if Right.RELAY not in claims.rights:
        require(claims, Right.MANAGE, None)
    now = context.wall()
    return web.json_response(
        {
            "relays": [
                {
                    "name": relay.name,
                    "url": relay.url,
                    "version": relay.version,
                    "viewers_max": relay.viewers_max,
                    "connected_at": relay.since,
                }
                for relay in await context.live.relays(now)
            ],
            "below": [
                {
                    "id": node.id,
                    "name": node.name,
                    "url": node.url,
                    "version": node.version,
                    "viewers_max": node.viewers_max,
                    "parent": node.parent,
                }
                for node in await context.tree.nodes()
            ],
        }
    )


async def _base_of(request: web.Request, context: Context, shown: LessonView, body: NewLink) -> str:
    """Where a link leads: to the school's relay; else a room's to the root relay that serves it,
    others to the control plane."""
    if body.school:
        return await context.records.relays.url_of(body.school)
    if body.role is Role.ROOM:
        relays = await context.live.relays(context.wall())
        url = shown.relay_url or (relays[0].url if relays else None)
        if url is not None:
            return url
    return context.settings.server.public_url or str(request.url.origin())


def _token_id() -> str:
    return secrets.token_urlsafe(12)
