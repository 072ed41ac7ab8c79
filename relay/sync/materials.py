"""Bringing materials here before class: asks what comes next, and carries it out over HTTP.

Here: the requests for lists and for stretches of files, side by side as the link's width says, and
what follows when one ends. Not here: which lessons (`materials_wanted`), the order and the rules
(`materials_plan`), files (`relay.cache`), and the link's own state, which is the sync's
(`materials_link`). SYNC.md tells how it goes together.

Whoever has the link calls `fill` each second and when something changed, and `stop_far` when a
lesson begins.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from classroom.archive.materials import Material
from classroom.clock import Clock, monotonic
from classroom.errors import Absent, ClassroomError, Refused
from relay.cache.blobs import Unreadable
from relay.cache.materials import MaterialStore
from relay.cache.stretches import Stretch, holes, next_stretch
from relay.sync.carrying import DiskAway, uncut
from relay.sync.edge import Edge
from relay.sync.faults import PUT_OFF_SECONDS, WRONG_SECONDS
from relay.sync.materials_link import Link
from relay.sync.materials_plan import Fetch, Tier, may_come, next_fetches
from relay.sync.materials_wanted import Wanted
from relay.sync.sources import Lacking, NotYet, Source, away

_log: Final = logging.getLogger("relay.sync")

_NEAR_WIDTH: Final = 2
_NEAR_BYTES: Final = 4 << 20
# One request over the weak link brings so much at the most: several end in the time that a school
# has, and what one brings is flushed at its end.
_FAR_BYTES: Final = 1 << 20
# Who has not what it should have is asked again after so long, twice as long each time (s); a relay
# above often brings it itself meanwhile. Somebody who waits is not let wait for long.
_AGAIN_S: Final = 3.0
_AGAIN_MOST_S: Final = 300.0
_AGAIN_ASKED_S: Final = 6.0
# So much less of the time that somebody waits is told upwards (s): it runs out above before it does
# here, however slow the link, and among relays that are each other's parents.
_WAITS_LESS_S: Final = 5.0
# A file that came so often, and was wrong or unreadable then, is left alone for a while.
_WRONG_TIMES: Final = 3
# What was whole at the last start is looked at again, and what came from a drive, so that what
# rotted is found before the class finds it (s).
_LOOK_SECONDS: Final = 60.0
# Until a source has told the date, no lesson makes room for one that comes sooner: soon again (s).
_UNDATED_SECONDS: Final = 5.0
# That there is no room is told at most so often (s); the page tells it all the time.
_TELL_SECONDS: Final = 3600.0


@dataclass(slots=True, eq=False)
class _Job:
    """stretch: of the file, None for a list. left: bytes still to come. ending: so few that the
    next one may be asked for."""

    fetch: Fetch
    source: Source
    stretch: Stretch | None
    left: int = 0
    ending: bool = False


class MaterialSync:
    """One per service process."""

    def __init__(
        self, store: MaterialStore, wanted: Wanted, link: Link, now: Clock = monotonic
    ) -> None:
        self.store = store
        self.wanted = wanted
        self._link = link
        self._now = now
        self._jobs: dict[asyncio.Task[None], _Job] = {}
        self._scanned = False
        self._finishing: set[str] = set()
        # By source and item: when it was asked last and had it not, and how often in a row.
        self._again: dict[tuple[str, str], tuple[float, int]] = {}
        # Who sent something of a file since the start; None stands for what was here before.
        self._senders: dict[str, set[str | None]] = {}
        self._wrong: Counter[str] = Counter()
        self._refused: dict[str, float] = {}
        self._looked_at = 0.0
        self._told_no_room = -math.inf
        self._looking: asyncio.Task[None] | None = None
        self.holds_link = False
        """Whether something of lessons to come can cross the weak link, before recordings."""
        self.counts: Counter[str] = Counter()
        """files, lists: that came. rubbish: that were refused. asked: that somebody waited for."""

    def ask(self, lesson: str, digest: str, seconds: float = math.inf) -> None:
        """Somebody waits for this file, "" for the list: it comes before all else. seconds: a relay
        below says so, and for how long yet."""
        self.wanted.ask(lesson, digest, self._now(), seconds)
        self._link.wake()

    @property
    def is_busy(self) -> bool:
        """Whether something is under way."""
        return bool(self._jobs)

    @property
    def is_away(self) -> bool:
        """Whether somebody else may write into the store: it is looked at anew before it is used
        again."""
        return not self._jobs and not self._scanned

    @property
    def far(self) -> int:
        """Requests over the weak link."""
        return sum(not job.source.near for job in self._jobs.values())

    def stop_far(self) -> None:
        """Nothing more crosses the weak link; what came is kept."""
        for task, job in self._jobs.items():
            if not job.source.near:
                task.cancel()

    async def fill(self, tasks: asyncio.TaskGroup) -> None:
        """Start what may be started, end what may not go on."""
        self.holds_link = False
        with Edge(self._link.counts):
            await self._fill(tasks)

    async def _fill(self, tasks: asyncio.TaskGroup) -> None:
        refusal = self._link.look()
        if refusal == "import":
            for task in self._jobs:
                task.cancel()
            self._scanned = False
            return
        if refusal == "disk":
            return
        if not self._scanned:
            if self._jobs:
                return  # cut, and still writing down what came
            # Whatever stands in the store then may be of others.
            self._senders.clear()
        try:
            moment = self._link.time.moment()
            date = moment.wall if self._link.time.is_told else None
            await asyncio.to_thread(self._look, date)
        except Absent as error:
            self._link.leave_disk(error.what)
            return
        refusal = self._link.look()  # a lesson may have begun meanwhile
        now = self._now()
        self._look_again(tasks, now)
        self._end_what_may_not(refusal)
        asked = self.wanted.asked(now)
        possible = self.wanted.possible(now)
        for fetch in next_fetches(possible, asked, moment.wall, dated=date is not None):
            if self._refused.get(fetch.digest, 0.0) > now:
                continue
            if self.wanted.waits_for_room(fetch.lesson, fetch.digest, now):
                continue
            if not await self._start(tasks, fetch, refusal, now):
                break

    def _look(self, date: float | None) -> None:
        """Blocks. Raises Absent."""
        if not self._scanned:
            self.wanted.start()
            self._scanned = True
        self.wanted.refresh(date)

    def _look_again(self, tasks: asyncio.TaskGroup, now: float) -> None:
        due = self._looking is None or now - self._looked_at > _LOOK_SECONDS
        if due and (self._looking is None or self._looking.done()):
            self._looked_at = now
            self._looking = tasks.create_task(self._look_in_peace())

    async def _look_in_peace(self) -> None:
        with Edge(self._link.counts):
            await asyncio.to_thread(self._look_at_files)

    def _look_at_files(self) -> None:
        """Blocks."""
        blobs = self.store.blobs
        for lesson in self.store.lessons():
            held = self.store.held(lesson)
            if held is None or not self.wanted.is_kept(lesson):
                continue
            for one in held.materials.materials:
                if blobs.has(one.digest) and not blobs.is_verified(one.digest):
                    with contextlib.suppress(Absent):  # it cannot be read now: another time
                        self.store.find(one.digest)
                    self.wanted.note(lesson)

    def _may(self, fetch: Fetch, near: bool, refusal: str) -> bool:
        link = self._link
        return may_come(
            fetch,
            near=near,
            refusal=refusal,
            spent=link.allowance.left(link.time.moment()) == 0,
            metered=link.metered,
            waits=link.is_waited_for,
        )

    def _end_what_may_not(self, refusal: str) -> None:
        for task, job in self._jobs.items():
            if not job.source.near and not self._may(job.fetch, False, refusal):
                task.cancel()

    # Starting.

    async def _start(
        self, tasks: asyncio.TaskGroup, fetch: Fetch, refusal: str, now: float
    ) -> bool:
        """Start what can be started for `fetch`; whether there is a place for another."""
        source: Source | None = None
        for near in (True, False):
            if self._may(fetch, near, refusal):
                source = self._source(fetch, near, now)
            if source is not None:
                break
        if source is None:
            return True
        if not source.near and fetch.tier < Tier.PAST:
            self.holds_link = True
        free = self._free(source.near, fetch.tier)
        if free <= 0:
            # Those that are near may have one for another all the same.
            return source.near or any(one.near for one in self._link.sources)
        if not fetch.digest:
            if all(job.fetch.item != fetch.item for job in self._jobs.values()):
                self._begin(tasks, _Job(fetch, source, None), self._bring_list(fetch, source))
            return True
        material = self.wanted.material(fetch.lesson, fetch.digest)
        if self.store.blobs.has(fetch.digest):
            self.wanted.note(fetch.lesson)  # it came for another lesson, or from a drive
            return True
        if material is None or not await self._has_room(fetch, material):
            return True
        if self._link.is_live and not source.near:
            return True  # it began while room was looked for
        for _ in range(free):
            stretch = self._stretch(material, source.near)
            if stretch is None:
                break
            job = _Job(fetch, source, stretch, stretch[1] - stretch[0])
            self._begin(tasks, job, self._bring(job, material))
        return True

    def _free(self, near: bool, tier: Tier) -> int:
        most = _NEAR_WIDTH if near else self._link.width.connections
        if tier is Tier.PAST and not near:
            most = 1  # beside the recordings, of which it is one more
        return most - sum(job.source.near == near and not job.ending for job in self._jobs.values())

    def _source(self, fetch: Fetch, near: bool, now: float) -> Source | None:
        """Whom to ask for it now: of those who sent something of it already the first, so that a
        wrong digest is somebody's."""
        item = fetch.item
        senders = self._senders.get(fetch.digest, set())
        names = [source.name for source in self._link.sources if source.near == near]
        names.sort(key=lambda name: name not in senders)
        longest = _AGAIN_ASKED_S if fetch.tier is Tier.ASKED else _AGAIN_MOST_S
        for name in self._link.plan.usable(names, "", now):
            asked_at, times = self._again.get((name, item), (0.0, 0))
            if not times or now - asked_at >= min(longest, _AGAIN_S * 2.0 ** min(times - 1, 10)):
                return next(source for source in self._link.sources if source.name == name)
        return None

    async def _has_room(self, fetch: Fetch, material: Material) -> bool:
        if self.store.blobs.have(fetch.digest) or fetch.digest in self._senders:
            return True
        went: list[str] = []

        def make() -> bool:
            order = self.wanted.giving_way(fetch.lesson)
            if not self.store.make_room(material.bytes, order, went.append):
                return False
            self.store.begin(material)
            return True

        try:
            has_room = await asyncio.to_thread(make)
        except Absent as error:
            self._link.leave_disk(error.what)
            return False
        finally:
            self.wanted.gone(went)
        if has_room:
            self.wanted.has_room(fetch.lesson, fetch.digest)
        else:
            self._lacks_room(fetch, material)
        return has_room

    def _lacks_room(self, fetch: Fetch, material: Material) -> None:
        now = self._now()
        wait = PUT_OFF_SECONDS if self.wanted.is_dated else _UNDATED_SECONDS
        self.wanted.lacks_room(fetch.lesson, fetch.digest, now + wait)
        if fetch.tier is Tier.PAST or now < self._told_no_room + _TELL_SECONDS:
            return
        self._told_no_room = now
        facts = {"lesson": fetch.lesson, "bytes": material.bytes}
        lessons = self.wanted.progress()["lessons_without_room"]
        _log.warning("materials-no-room", extra=facts | {"lessons": lessons})

    def _stretch(self, material: Material, near: bool) -> Stretch | None:
        """The next one to ask for; None when all that is not here is under way."""
        busy = [
            job.stretch
            for job in self._jobs.values()
            if job.fetch.digest == material.digest and job.stretch is not None
        ]
        most = _NEAR_BYTES if near else min(_FAR_BYTES, self._link.width.load_bytes())
        have = self.store.blobs.have(material.digest)
        first, end = next_stretch(have, busy, material.bytes, most)
        if first == end and (busy or material.digest in self._finishing):
            return None
        # An empty one when everything is here, and only its digest was not looked at yet.
        return first, end

    def _begin(self, tasks: asyncio.TaskGroup, job: _Job, work: Awaitable[None]) -> None:
        if job.fetch.tier is Tier.ASKED and not job.source.near:
            self._link.stop_others("", ("", ""))
        task = tasks.create_task(self._guarded(job, work))
        self._jobs[task] = job
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        job = self._jobs.pop(task)
        self.wanted.note(job.fetch.lesson)
        self._link.wake()

    # Jobs.

    async def _guarded(self, job: _Job, work: Awaitable[None]) -> None:
        with Edge(self._link.counts, lesson=job.fetch.lesson, source=job.source.name):
            try:
                await work
                self._link.plan.source_gave(job.source.name, self._now())
                self._again.pop((job.source.name, job.fetch.item), None)
            except ClassroomError as error:
                self._went_wrong(job, error)
            return
        # Not to be met again at once for ever.
        self.wanted.put_off(job.fetch.lesson, self._now() + WRONG_SECONDS)

    async def _bring_list(self, fetch: Fetch, source: Source) -> None:
        lesson = fetch.lesson
        digest = self.wanted.list_digest(lesson)
        data = await source.materials(lesson, digest, waits=self._waits(fetch, source))
        await self._link.spender(source, "material_bytes")(len(data))
        await uncut(self._write, self.store.take, lesson, data, digest, self.wanted.at(lesson))
        self._came(fetch, "lists")

    async def _bring(self, job: _Job, material: Material) -> None:
        assert job.stretch is not None
        blobs, (at, end), digest = self.store.blobs, job.stretch, material.digest
        if digest not in self._senders:
            self._senders[digest] = {None} if blobs.have(digest) else set()
        self._senders[digest].add(job.source.name)
        try:
            if at < end:
                await self._carry(job, digest, at, end)
        finally:
            # Of what a power cut or a lesson ends, nothing crosses the link again.
            await uncut(self._write, blobs.keep, digest)
        whole = not holes(blobs.have(digest), material.bytes)
        if not whole or digest in self._finishing or blobs.has(digest):
            return
        self._finishing.add(digest)
        try:
            await uncut(self._write, blobs.complete, digest)
        finally:
            self._finishing.discard(digest)
        self._forget(digest)
        self._wrong.pop(digest, None)
        self._came(job.fetch, "files")
        self.wanted.came(digest)

    async def _carry(self, job: _Job, digest: str, at: int, end: int) -> None:
        width, source = self._link.width, job.source
        spend = self._link.spender(source, "material_bytes")
        # What comes in a round trip: the next request is on its way while the last bytes are.
        tail = 0.0
        if not source.near and width.round_trip is not None:
            tail = 1.5 * width.round_trip * width.rate / width.connections
        waits, lesson = self._waits(job.fetch, source), job.fetch.lesson
        async with source.material(lesson, digest, at, end, waits=waits) as body:
            async for chunk in body:
                await uncut(self._write, self.store.blobs.write, digest, at, chunk)
                at += len(chunk)
                job.left -= len(chunk)
                if job.left < tail and not job.ending:
                    job.ending = True
                    self._link.wake()
                await spend(len(chunk))
        if at < end:
            raise away("it broke off")

    def _waits(self, fetch: Fetch, source: Source) -> int:
        """For how long the source is told that somebody waits here (s). A parent alone is: two
        siblings would have each other wait for ever, and both would ask for it over the one link
        that they share."""
        if fetch.tier is not Tier.ASKED or source.near:
            return 0
        left = self.wanted.waits(fetch.lesson, fetch.digest, self._now())
        return max(0, int(left - _WAITS_LESS_S))

    def _write(self, work: Callable[..., object], *arguments: object) -> None:
        try:
            with self.store.writing():
                work(*arguments)
        except Unreadable:
            raise  # of this file alone: the disk takes others
        except Absent as error:
            raise DiskAway(error.what, fix=error.fix) from error

    def _came(self, fetch: Fetch, what: str) -> None:
        self.counts[what] += 1
        if fetch.tier is Tier.ASKED:
            self.counts["asked"] += 1
        facts = {"lesson": fetch.lesson, "what": what, "bytes": fetch.bytes}
        _log.info("material-came", extra=facts)

    def _forget(self, digest: str) -> None:
        self._senders.pop(digest, None)
        for key in [key for key in self._again if key[1] == digest]:
            del self._again[key]

    # What went wrong.

    def _went_wrong(self, job: _Job, error: ClassroomError) -> None:
        """Let everybody know whose fault it is."""
        link, source, now = self._link, job.source, self._now()
        if isinstance(error, DiskAway):
            link.leave_disk(error.what)
            return
        if link.is_live and not source.near and not isinstance(error, Refused):
            return  # we cut it ourselves
        facts = {"lesson": job.fetch.lesson, "source": source.name, "reason": str(error)}
        match error:
            case Refused(code="material-unwanted"):
                self._forget(job.fetch.digest)
            case Refused(code="material-digest-wrong"):
                self._other_bytes(job, now)
                _log.warning("material-refused", extra=facts)
            case Unreadable():
                self._begin_anew(job.fetch.digest, now)
            case NotYet() | Lacking():
                self._lacks(source.name, job.fetch.item, now)
            case Refused(code="source-rubbish"):
                self.counts["rubbish"] += 1
                link.plan.source_failed(source.name, now, rubbish=True)
                _log.warning("material-refused", extra=facts)
            case Refused():
                # Its digest is right, and so it is wrong wherever it is.
                self.counts["rubbish"] += 1
                self.wanted.put_off(job.fetch.lesson, now + WRONG_SECONDS)
                _log.warning("material-refused", extra=facts)
            case _:
                link.plan.source_failed(source.name, now)
                _log.info("sync-source-away", extra=facts)

    def _other_bytes(self, job: _Job, now: float) -> None:
        digest = job.fetch.digest
        self.counts["rubbish"] += 1
        senders = self._senders.get(digest, set())
        self._begin_anew(digest, now)
        # Of several senders any may have been right; the next time one alone is asked.
        if senders == {job.source.name}:
            self._link.plan.source_failed(job.source.name, now, rubbish=True)

    def _begin_anew(self, digest: str, now: float) -> None:
        """Nothing of it is here any more: it is fetched again, but not for ever."""
        self._wrong[digest] += 1
        self._forget(digest)
        if self._wrong[digest] >= _WRONG_TIMES:
            self._refused[digest] = now + WRONG_SECONDS
            self._wrong.pop(digest)

    def _lacks(self, source: str, item: str, now: float) -> None:
        for key in [key for key, (at, _) in self._again.items() if at < now - 2 * _AGAIN_MOST_S]:
            del self._again[key]
        _, times = self._again.get((source, item), (0.0, 0))
        self._again[source, item] = now, times + 1
