"""Tells connected pages and relays of changes, whichever process they happened in.

One task listens to the live state and hands each changed lesson to whom it concerns. Pages get
`lesson`, those of teachers also what rooms receive; relays get `relay-lessons` when the list they
need is another one, `lesson-end` for what they still carry, and `relay-materials` for files that
were added or taken back after a lesson. What a lesson is comes from the desk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from classroom import lessons
from classroom.clock import wall
from classroom.errors import Absent, Refused
from classroom.signalling import HeardBelow
from classroom.store import EVERYTHING, LiveState, RelayAlive
from classroom.store.live import RELAYS, ROOMS
from classroom.store.school_relays import revoked
from classroom.tokens import Claims, Right
from classroom.web.desk import Desk
from classroom.web.logs import event
from classroom.web.peer import Peer
from classroom.web.rungs import Heard, Told
from classroom.web.tree import Tree
from classroom.web.views import LessonView
from classroom.wire import (
    LessonEnd,
    LessonInfo,
    LessonState,
    Recording,
    RelayMaterials,
    RelayRevoked,
    fit_lessons,
    urgency,
)

_TAKEN_OVER: Final = Refused(
    409,
    "relay-replaced",
    "Another relay connected under this name.",
    fix="Give each relay a name of its own.",
)


@dataclass(eq=False, slots=True)
class PageSeat:
    """A connected page; lesson narrows what it hears, None is all that its token covers."""

    peer: Peer
    claims: Claims
    lesson: str | None
    told: Told = field(default_factory=Told)

    @property
    def teaches(self) -> bool:
        """Whether the page is told what rooms receive."""
        return Right.PUBLISH in self.claims.rights or Right.MANAGE in self.claims.rights

    def hears(self, lesson_id: str) -> bool:
        """Whether a change of this lesson concerns the page."""
        return self.lesson in (None, lesson_id) and self.claims.covers(lesson_id)


@dataclass(eq=False, slots=True)
class RelaySeat:
    """A connected relay.

    told: the list it was last sent, without what changes by the second.
    ended: lessons that it was told are over. lists: of which lessons it was told a list that
    changed late, and the date of that change.
    """

    peer: Peer
    relay: RelayAlive
    told: tuple[LessonInfo, ...] | None = None
    ended: set[str] = field(default_factory=set)
    lists: dict[str, float] = field(default_factory=dict)
    heard: Heard = field(init=False)
    below: HeardBelow = field(default_factory=HeardBelow)

    def __post_init__(self) -> None:
        self.heard = Heard(self.relay.name)


class Hub:
    """Who is connected to this process. Pages and relays sit down when they said hello."""

    def __init__(self, desk: Desk, live: LiveState, tree: Tree, relay_lost_s: float) -> None:
        self._desk = desk
        self._live = live
        self._tree = tree
        self._revoked: RelayRevoked | None = None
        # One renewal may be late without the relay counting as gone.
        self._renew_s = relay_lost_s / 3.0
        self._pages: set[PageSeat] = set()
        self._relays: dict[str, RelaySeat] = {}

    def seat_page(self, seat: PageSeat) -> None:
        """From now on `seat` hears of changes."""
        self._pages.add(seat)

    def seat_relay(self, seat: RelaySeat) -> None:
        """As `seat_page`; an older connection of the same relay is closed."""
        older = self._relays.get(seat.relay.name)
        self._relays[seat.relay.name] = seat
        if older is not None:
            older.peer.refuse(_TAKEN_OVER)

    def leave(self, seat: PageSeat | RelaySeat) -> None:
        """`seat` is gone."""
        if isinstance(seat, PageSeat):
            self._pages.discard(seat)
        elif self._relays.get(seat.relay.name) is seat:
            del self._relays[seat.relay.name]

    def stop(self) -> None:
        """Close every connection because the server stops."""
        seats: list[PageSeat | RelaySeat] = [*self._pages, *self._relays.values()]
        for seat in seats:
            seat.peer.stop()

    async def run(self) -> None:
        """Listen for changes, for ever; run it as a task."""
        while True:
            try:
                async with self._live.changes() as changes:
                    # What changed before we listened is told now.
                    await self._tell(EVERYTHING)
                    async for change in changes:
                        await self._tell(change)
            except Absent as error:
                event("listen-failed", detail=error.what)
                await asyncio.sleep(error.retry_after)

    async def _tell(self, change: str) -> None:
        try:
            await self._changed(change)
        except (Refused, Absent) as error:
            # The store is away: who missed this hears of it with the next report.
            event("tell-failed", change=change, detail=str(error))

    def check(self, claims: Claims) -> None:
        """Raise Refused 403 `relay-revoked` if the holder is a relay that counts no more."""
        if self._revoked is not None and claims.subject in self._revoked.relays:
            raise revoked()

    async def renew(self) -> None:
        """Note again and again that the relays connected here are alive; run it as a task."""
        while True:
            await asyncio.sleep(self._renew_s)
            for seat in list(self._relays.values()):
                try:
                    await self._desk.relay_here(seat.relay)
                except Absent as error:
                    event("renew-failed", relay=seat.relay.name, detail=error.what)
            await self._tell_revoked()

    async def _tell_revoked(self) -> None:
        """Revocations are made on the command line, so the records are looked at."""
        try:
            message = await self._tree.revoked()
        except Absent as error:
            event("revoked-unknown", detail=error.what)
            return
        if message != self._revoked:
            self._revoked = message
            for seat in self._relays.values():
                seat.peer.push("revoked", message)

    async def tell_relay(self, seat: RelaySeat) -> None:
        """Send a relay that just sat down its lessons, and what ended while it was away."""
        for lesson in await self._desk.ended_on(seat.relay.name):
            self.end_on(seat, lesson.id)
        self._tell_lessons(seat, await self._desk.show_open())
        await self._tell_lists([seat])
        taken_back = await self._tree.revoked()
        # Ids are never used again, so a relay may keep what it once heard.
        if taken_back.relays:
            seat.peer.push("revoked", taken_back)

    def end_on(self, seat: RelaySeat, lesson_id: str) -> None:
        """Tell a relay that a lesson is over."""
        seat.ended.add(lesson_id)
        seat.peer.push(f"end {lesson_id}", LessonEnd(lesson_id))

    async def tell_rooms(self, lesson_id: str | None, only: PageSeat | None = None) -> None:
        """Tell pages of teachers what the rooms of one lesson, or of all, receive by now."""
        seats = [seat for seat in (self._pages if only is None else {only}) if seat.teaches]
        if not seats:
            return
        for lesson, reports in (await self._desk.rooms(lesson_id)).items():
            for seat in seats:
                key = f"rooms {lesson} "
                # What waits would be replaced, and with it changes that are told only once.
                if seat.hears(lesson) and not seat.peer.waits(key + "0"):
                    for number, message in enumerate(seat.told.changes(lesson, reports)):
                        seat.peer.push(f"{key}{number}", message)

    async def _changed(self, change: str) -> None:
        if change.startswith(ROOMS):
            await self.tell_rooms(change.removeprefix(ROOMS))
            return
        if change in (EVERYTHING, RELAYS):
            await self.tell_rooms(None)
        if change == EVERYTHING:
            for shown in await self._desk.show_recent():
                self._tell_pages(shown)
            await self._tell_lists(self._relays.values())
        elif change != RELAYS:
            await self._lesson_changed(change)
        if self._relays:
            open_lessons = await self._desk.show_open()
            for seat in self._relays.values():
                self._tell_lessons(seat, open_lessons)

    async def _lesson_changed(self, change: str) -> None:
        try:
            shown = await self._desk.show(change)
        except Refused as error:
            if error.code != "lesson-unknown":
                raise
            # It was taken back before it began: relays hear that by their list.
            return
        self._tell_pages(shown)
        # Reports come every few seconds: a page too slow for the last change of rooms gets it now.
        await self.tell_rooms(change)
        seat = self._relays.get(shown.lesson.relay or "")
        # Once is enough here: reports of an archive being finished are changes, too.
        if shown.lesson.state is LessonState.ENDED and seat and change not in seat.ended:
            self.end_on(seat, change)
        if not lessons.is_open(shown.lesson):
            await self._tell_lists(self._relays.values())

    async def _tell_lists(self, seats: Iterable[RelaySeat]) -> None:
        """Tell relays what teachers changed of the files of lessons that are over."""
        seats = list(seats)
        changed = await self._desk.changed_lists() if seats else ()
        for seat in seats:
            new = tuple(one for one in changed if seat.lists.get(one.lesson) != one.changed_at)
            if new:
                seat.lists.update((one.lesson, one.changed_at) for one in new)
                # What waits is not replaced: each is told once.
                seat.peer.push(f"lists {new[0].changed_at}", RelayMaterials(new))

    def _tell_pages(self, shown: LessonView) -> None:
        info = shown.as_info()
        for seat in self._pages:
            if seat.hears(info.id):
                seat.peer.push(info.id, info)

    def _tell_lessons(self, seat: RelaySeat, shown: list[LessonView]) -> None:
        now = wall()

        def key(view: LessonView) -> tuple[tuple[int, float], str]:
            lesson = view.lesson
            # Those without a date were planned for the day on which they were made.
            date = lesson.planned_at or lesson.created_at
            return urgency(date, now, live=lesson.state is LessonState.LIVE), lesson.id

        ordered = sorted((view for view in shown if lessons.is_open(view.lesson)), key=key)
        message = fit_lessons(view.as_info() for view in ordered)
        steady = tuple(
            replace(info, rooms=0, recording=Recording(), sources=(), publishing=False)
            for info in message.lessons
        )
        # Reports come every few seconds; a relay needs the list only when it is another one.
        if steady != seat.told:
            seat.told = steady
            seat.peer.push("lessons", message)
