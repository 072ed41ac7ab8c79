"""The two WebSockets: `/api/events` for pages and `/api/relay` for relays.

Who may connect, what a hello leads to, and what a relay's words lead to. The conversation itself
is `classroom.signalling`, the socket is `peer`. A refusal is told over the opened socket, because
a browser hides the answer to a refused upgrade.
"""

from __future__ import annotations

from aiohttp import web

from classroom.errors import Refused
from classroom.signalling import Opened, Received, Session
from classroom.store import RelayAlive
from classroom.tokens import Claims, Right, require, require_lesson
from classroom.web.bodies import socket_claims
from classroom.web.context import Context, context_of
from classroom.web.hub import PageSeat, RelaySeat
from classroom.web.logs import event
from classroom.web.peer import Peer
from classroom.wire import (
    Hello,
    RelayArchive,
    RelayBelow,
    RelayHello,
    RelayLesson,
    RelayRooms,
    TrunkWants,
    VoiceWish,
    Welcome,
    is_lesson_id,
)

_PAGE_RIGHTS = (Right.MANAGE, Right.PUBLISH, Right.WATCH, Right.REPLAY)


async def events(request: web.Request) -> web.StreamResponse:
    """A page's events."""
    context = context_of(request)
    began = context.monotonic()
    peer = _peer(context, Hello, "page")
    claims = _claims_or_refusal(request, context, peer)
    seat: PageSeat | None = None

    async def act(action: Opened | Received) -> None:
        nonlocal seat
        # Which media session a page has matters to relays only.
        if isinstance(action, Received):
            return
        # Nothing is passed on after a refusal.
        assert isinstance(action.hello, Hello)
        assert claims is not None
        seat = PageSeat(peer, claims, _lesson_asked(claims, action.hello))
        await _welcome(context, seat)
        event("page-joined", page=action.hello.page.value, subject=claims.subject)

    try:
        response, reason = await peer.run(request, act)
    finally:
        if seat is not None:
            context.hub.leave(seat)
    if seat is not None:
        seconds = round(context.monotonic() - began, 3)
        event("page-left", subject=seat.claims.subject, reason=reason, seconds=seconds)
    return response


def _lesson_asked(claims: Claims, hello: Hello) -> str | None:
    """The one lesson that the page is for, None for all of its token; raises Refused 403."""
    if not any(right in claims.rights for right in _PAGE_RIGHTS):
        require(claims, Right.WATCH, None)
    asked = hello.lesson
    if asked is None:
        return claims.lesson if is_lesson_id(claims.lesson) else None
    require_lesson(claims, asked)
    return asked


async def _welcome(context: Context, seat: PageSeat) -> None:
    shown = await context.desk.show(seat.lesson) if seat.lesson is not None else None
    # Seated before the rest is read: what changes meanwhile waits until after the welcome.
    context.hub.seat_page(seat)
    seat.peer.session.send(
        Welcome(
            name=seat.claims.name,
            role=seat.claims.role.value,
            lesson=shown.as_info() if shown is not None else None,
            server_time=context.wall(),
        )
    )
    if seat.lesson is None:
        for view in await context.desk.show_open():
            seat.peer.push(view.lesson.id, view.as_info())
    await context.hub.tell_rooms(seat.lesson, seat)


async def relay(request: web.Request) -> web.StreamResponse:
    """A relay's line to the control plane."""
    context = context_of(request)
    began = context.monotonic()
    peer = _peer(context, RelayHello, "relay")
    claims = _claims_or_refusal(request, context, peer, Right.RELAY)
    seat: RelaySeat | None = None

    async def act(action: Opened | Received) -> None:
        nonlocal seat
        if isinstance(action, Opened):
            assert isinstance(action.hello, RelayHello)
            assert claims is not None
            await context.tree.admit_root(claims)
            seat = RelaySeat(peer, _alive(action.hello, context.wall()))
            await context.desk.relay_here(seat.relay)
            context.hub.seat_relay(seat)
            # An older connection is being closed: it says nothing more of rooms.
            await context.desk.relay_begins(seat.relay)
            await context.tree.told(seat.relay, {})
            await context.hub.tell_relay(seat)
            await context.desk.relay_changed()
            event("relay-joined", relay=seat.relay.name, url=seat.relay.url)
            return
        assert seat is not None
        await _heard(context, seat, action)

    try:
        response, reason = await peer.run(request, act)
    finally:
        if seat is not None:
            context.hub.leave(seat)
            await context.desk.relay_gone(seat.relay)
    if seat is not None and claims is not None:
        seconds = round(context.monotonic() - began, 3)
        event("relay-left", relay=seat.relay.name, reason=reason, seconds=seconds)
    return response


def _alive(hello: RelayHello, now: float) -> RelayAlive:
    return RelayAlive(
        name=hello.relay,
        url=hello.url.rstrip("/"),
        version=hello.version,
        viewers_max=hello.viewers_max,
        since=now,
        seen_at=now,
    )


async def _heard(context: Context, seat: RelaySeat, action: Received) -> None:
    match action.message:
        case RelayLesson() as message:
            lesson = await context.desk.reported(seat.relay, message)
            if message.publishing and lesson.ended_at is not None:
                context.hub.end_on(seat, lesson.id)
        case RelayRooms() | VoiceWish() as message:
            await context.desk.rooms_told(seat.heard.receive(message))
        case RelayBelow() as message:
            seat.below.receive(message)
            await context.tree.told(seat.relay, seat.below.nodes)
        case RelayArchive() as message:
            await context.desk.archived(seat.relay, message)
        case TrunkWants():
            return  # a parent's business
        case _:
            raise AssertionError("a session for relays passes on nothing else")


def _peer(context: Context, first: type[Hello] | type[RelayHello], kind: str) -> Peer:
    now = context.monotonic()
    session = Session(first, now, wall_offset=context.wall() - now)
    return Peer(session, kind, context.monotonic, context.wall, context.metrics)


def _claims_or_refusal(
    request: web.Request, context: Context, peer: Peer, right: Right | None = None
) -> Claims | None:
    try:
        claims = socket_claims(request, context.verifier, context.wall())
        context.hub.check(claims)
        if right is not None:
            require(claims, right, None)
    except Refused as error:
        peer.refuse(error)
        return None
    peer.session.expire_at(claims.expires_at)
    return claims
