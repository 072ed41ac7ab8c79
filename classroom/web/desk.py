"""The desk where lessons are moved: every request of a teacher and every word of a relay.

It joins the pure rules with the store: read, decide, write, log, announce. It knows nothing of
HTTP or WebSockets. Whoever calls has already checked the token's right and lesson.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final, TypeVar

from classroom import lessons
from classroom.clock import Clock, monotonic
from classroom.errors import Absent, Refused
from classroom.lessons import Lesson, RelayChoice
from classroom.library import Listing
from classroom.settings import Lessons as LessonSettings
from classroom.store import LiveState, Records, RelayAlive, Report, RoomsReport, tables
from classroom.store.live import RELAYS, ROOMS
from classroom.store.records import OPEN
from classroom.web.logs import event
from classroom.web.metrics import Metrics
from classroom.web.views import LessonView, view
from classroom.wire import MAX_LISTS, LessonState, ListChange, RelayArchive, RelayLesson

_LETTERS: Final = "abcdefghjkmnpqrstuvwxyz23456789"
# Often enough for a limit of minutes, rarely enough to cost nothing.
_WATCH_S: Final = 15.0
# A clock is slewed by 0.5 ms a second; what is more between two looks was set (no battery, NTP).
_SLEWED_S: Final = 30.0

T = TypeVar("T")


class Desk:
    """Moves lessons. wall: dates in unix seconds. steady: seconds that never jump."""

    def __init__(
        self,
        records: Records,
        live: LiveState,
        settings: LessonSettings,
        metrics: Metrics,
        wall: Clock,
        steady: Clock = monotonic,
    ) -> None:
        self._records = records
        self._live = live
        self._settings = settings
        self._metrics = metrics
        self._wall = wall
        self.steady = steady
        # Before this process ran it heard nothing; silence is counted from here.
        self._began = wall()
        self._offset = self._began - steady()

    async def plan(
        self,
        title: str,
        *,
        teacher: str,
        by: str,
        lesson_id: str | None = None,
        subject: str | None = None,
        grade: str | None = None,
        school: str | None = None,
        planned_at: float | None = None,
    ) -> LessonView:
        """Keep a new lesson; Refused 409 lesson-exists if `lesson_id` is taken."""
        tail = "".join(secrets.choice(_LETTERS) for _ in range(5))
        lesson = lessons.plan(
            lesson_id or lessons.new_lesson_id(title, tail),
            title,
            teacher=teacher,
            owner=by,
            now=self._wall(),
            subject=subject,
            grade=grade,
            school=school or self._settings.school or None,
            planned_at=planned_at,
        )
        await self._records.add_lesson(lesson, by=by)
        self._metrics.moves.labels("planned", "planned").inc()
        event("lesson-planned", lesson=lesson.id, by=by)
        await self._announce(lesson.id)
        return await self._view(lesson, changed=True)

    async def show(self, lesson_id: str) -> LessonView:
        """One lesson; Refused 404."""
        return await self._view(await self._records.lesson(lesson_id))

    async def find(
        self, asked: Listing, only: str | None, shape: Callable[[Sequence[LessonView], int], T]
    ) -> T:
        """What `shape` makes of the part asked for of the lessons that match and of how many do.

        only: the one lesson that may be found, None for all. Hundreds of lessons take a while to
        shape: that is done in a thread, while pages and relays are served.
        """
        rows, total = await self._records.find(asked, only)
        now = self._wall()
        relays = await self._live.relays(now)
        reports = await self._reports()
        return await asyncio.to_thread(
            lambda: shape(
                self._joined([tables.lesson_of(row) for row in rows], relays, reports, now), total
            )
        )

    async def show_open(self) -> list[LessonView]:
        """Every lesson planned or live."""
        return await self._views(await self._records.lessons(OPEN))

    async def show_recent(self) -> list[LessonView]:
        """Lessons planned, live, or ended within the hour: those that a page may be waiting on."""
        return await self._views(await self._records.recent(self._wall() - 3600.0))

    async def ended_on(self, relay: str) -> list[Lesson]:
        """Lessons that ended on `relay` and whose archive it has not reported yet."""
        return await self._records.ended_on(relay)

    async def changed_lists(self) -> tuple[ListChange, ...]:
        """Lists of lessons that are over that changed after these began, the latest ones."""
        return await self._records.materials.changed_late(MAX_LISTS)

    async def start(self, lesson_id: str, *, by: str) -> tuple[LessonView, RelayAlive]:
        """Go live; the lesson and the relay to publish to.

        Refused 404, 409 lesson-ended, 409 lesson-already-live; Absent without a relay.
        """
        now = self._wall()
        lesson = await self._records.lesson(lesson_id)
        publishing = (await self._view(lesson)).publishing

        def move(lesson: Lesson, relay: str = "", url: str = "") -> Lesson:
            return lessons.start(
                lesson, relay=relay, relay_url=url, by=by, publishing=publishing, now=now
            )

        # What the state refuses is said first: no relay would help.
        move(lesson)
        alive = await self._live.relays(now)
        name = lessons.place(lesson, await self._choices(alive)).name
        relay = next(relay for relay in alive if relay.name == name)
        after = await self._change(
            lesson_id,
            lambda lesson: move(lesson, relay.name, relay.url),
            by=by,
            reason="started",
            now=now,
        )
        return await self._view(after), relay

    async def remove(self, lesson_id: str, *, by: str) -> None:
        """Forget a planned lesson. Refused 404, 409 lesson-not-planned."""
        now = self._wall()
        await self._records.remove(lesson_id, lessons.require_removable, by=by, now=now)
        self._metrics.moves.labels("removed", "removed").inc()
        event("lesson-removed", lesson=lesson_id, by=by)
        await self._announce(lesson_id)

    async def changed(self, lesson_id: str) -> None:
        """Tell pages and relays that the lesson's files are others in the records."""
        await self._announce(lesson_id)

    async def end(self, lesson_id: str, *, by: str, reason: str) -> LessonView:
        """End a live lesson; one that has ended stays so. Refused 404, 409 lesson-not-live."""
        now = self._wall()
        after = await self._change(
            lesson_id, lambda lesson: lessons.end(lesson, now), by=by, reason=reason, now=now
        )
        return await self._view(after, changed=True)

    async def relay_here(self, relay: RelayAlive) -> None:
        """Note that `relay` is alive now."""
        await self._live.keep_relay(replace(relay, seen_at=self._wall()))

    async def relay_begins(self, relay: RelayAlive) -> None:
        """Forget what an earlier connection of `relay` told of rooms; this one tells all anew."""
        for lesson_id in await self._live.drop_rooms(relay.name):
            await self._announce(ROOMS + lesson_id)

    async def relay_changed(self) -> None:
        """Tell everyone that a relay came or went."""
        await self._announce(RELAYS)

    async def relay_gone(self, relay: RelayAlive) -> None:
        """Note that the connection of `relay` is over."""
        try:
            await self._live.drop_relay(relay.name, relay.since)
        except Absent as error:
            # Its time to live runs out by itself.
            event("drop-failed", relay=relay.name, detail=error.what)
        await self._announce(RELAYS)

    async def reported(self, relay: RelayAlive, message: RelayLesson) -> Lesson:
        """Take a relay's word on a lesson; media of a planned one makes it live.

        Gives the lesson as it is now: if it is over, the relay should be told. Refused 404.
        """
        now = self._wall()
        lesson = await self._records.lesson(message.lesson)
        if message.publishing and lesson.state is LessonState.PLANNED:
            lesson = await self._change(
                lesson.id,
                lambda lesson: _start_unannounced(lesson, relay, now),
                by=f"relay {relay.name}",
                reason="media-arrived",
                now=now,
            )
        await self._live.keep_report(
            Report(
                lesson=message.lesson,
                relay=relay.name,
                publishing=message.publishing,
                sources=message.sources,
                rooms=message.rooms,
                recording=message.recording,
                at=now,
            )
        )
        await self._announce(lesson.id)
        return lesson

    async def rooms_told(self, report: RoomsReport) -> None:
        """Take a relay's word on what rooms receive; nothing of a lesson that is over.

        Refused 404.
        """
        if lessons.is_open(await self._records.lesson(report.lesson)):
            await self._live.keep_rooms(report)
        elif not await self._live.drop_rooms(report.relay, report.lesson):
            return  # rooms leave for some seconds after the end; nobody would forget them again
        await self._announce(ROOMS + report.lesson)

    async def rooms(self, lesson_id: str | None = None) -> dict[str, list[RoomsReport]]:
        """What the relays that are there say of the rooms of one lesson, or of all, by lesson."""
        reports = await self._live.rooms(lesson_id)
        alive = {relay.name for relay in await self._live.relays(self._wall())} if reports else ()
        found: dict[str, list[RoomsReport]] = {lesson_id: []} if lesson_id is not None else {}
        for report in reports:
            found.setdefault(report.lesson, [])
            # Rooms of a relay that is gone will be told by whichever relay they find.
            if report.relay in alive:
                found[report.lesson].append(report)
        return found

    async def archived(self, relay: RelayAlive, message: RelayArchive) -> None:
        """Publish a lesson whose archive is finished. Refused 404, 409."""
        now = self._wall()
        archive = lessons.Archive(message.duration, message.bytes, message.renditions)
        await self._change(
            message.lesson,
            lambda lesson: lessons.publish(lesson, archive, now),
            by=f"relay {relay.name}",
            reason="archived",
            now=now,
        )
        await self._live.forget_lesson(message.lesson)

    async def watch(self) -> None:
        """End lessons that nobody teaches, for ever; run it as a task."""
        while True:
            await asyncio.sleep(_WATCH_S)
            try:
                await self.end_forsaken()
            except (Refused, Absent) as error:
                # The store is away: nothing is ended on a guess, the next round looks again.
                event("watch-failed", detail=str(error))

    async def end_forsaken(self) -> None:
        """Look once for live lessons that nobody teaches and end them."""
        now = self._wall()
        offset = now - self.steady()
        if abs(offset - self._offset) > _SLEWED_S:
            # What was heard is dated by another clock: silence is counted from here again.
            event("clock-jumped", seconds=round(offset - self._offset))
            self._began, self._offset = now, offset
        for lesson in await self._records.lessons([LessonState.LIVE]):
            reports = [
                report
                for report in await self._live.reports(lesson.id)
                if report.relay == lesson.relay
            ]
            known = [lesson.started_at or 0.0, *(report.at for report in reports)]
            published = [report.published_at for report in reports]
            if lessons.is_forsaken(
                lesson,
                heard_at=self._latest(known, now),
                published_at=self._latest([known[0], *published], now),
                now=now,
                idle_end_s=self._settings.idle_end_s,
                silent_end_s=self._settings.silent_end_s,
            ):
                await self.end(lesson.id, by="control plane", reason="nobody-published")

    def _latest(self, dates: Sequence[float], now: float) -> float:
        """The latest of `dates` and of when silence began to count; what is to come was dated by
        a clock that was ahead."""
        return max([self._began, *(date for date in dates if date <= now)])

    async def _change(
        self,
        lesson_id: str,
        move: Callable[[Lesson], Lesson],
        *,
        by: str,
        reason: str,
        now: float,
    ) -> Lesson:
        before, after = await self._records.change(lesson_id, move, by=by, reason=reason, now=now)
        if after.state is not before.state:
            self._metrics.moves.labels(after.state.value, reason).inc()
            seconds = None
            if after.ended_at is not None and after.started_at is not None:
                seconds = round(after.ended_at - after.started_at, 3)
            event(
                f"lesson-{after.state.value}",
                lesson=lesson_id,
                by=by,
                reason=reason,
                relay=after.relay,
                seconds=seconds,
            )
        if after != before:
            await self._announce(lesson_id)
        return after

    async def _announce(self, change: str) -> None:
        try:
            await self._live.announce(change)
        except Absent as error:
            # The change itself is kept; who was not told hears of it with the next report.
            event("announce-failed", change=change, detail=error.what)

    async def _view(self, lesson: Lesson, *, changed: bool = False) -> LessonView:
        """`lesson` as it is shown. changed: what was asked for is done, so say so in any case."""
        now = self._wall()
        try:
            reports = await self._live.reports(lesson.id)
            relays = await self._live.relays(now)
        except Absent:
            if not changed:
                raise
            reports, relays = [], []
        return view(lesson, reports, relays, now=now, fresh_s=self._settings.relay_lost_s)

    async def _views(self, known: Sequence[Lesson]) -> list[LessonView]:
        now = self._wall()
        relays = await self._live.relays(now)
        return self._joined(known, relays, await self._reports(), now)

    async def _reports(self) -> dict[str, list[Report]]:
        """What relays say of each lesson."""
        reports: dict[str, list[Report]] = {}
        for report in await self._live.reports():
            reports.setdefault(report.lesson, []).append(report)
        return reports

    def _joined(
        self,
        known: Sequence[Lesson],
        relays: Sequence[RelayAlive],
        reports: Mapping[str, Sequence[Report]],
        now: float,
    ) -> list[LessonView]:
        fresh_s = self._settings.relay_lost_s
        return [
            view(lesson, reports.get(lesson.id, ()), relays, now=now, fresh_s=fresh_s)
            for lesson in known
        ]

    async def _choices(self, alive: list[RelayAlive]) -> list[RelayChoice]:
        live = await self._records.lessons([LessonState.LIVE])
        return [
            RelayChoice(
                relay.name,
                relay.url,
                sum(1 for lesson in live if lesson.relay == relay.name),
                relay.viewers_max,
            )
            for relay in alive
        ]


def _start_unannounced(lesson: Lesson, relay: RelayAlive, now: float) -> Lesson:
    if lesson.state is not LessonState.PLANNED:
        return lesson
    return lessons.start(
        lesson, relay=relay.name, relay_url=relay.url, by=None, publishing=True, now=now
    )
