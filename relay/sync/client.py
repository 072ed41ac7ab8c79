"""Bringing recordings here: asks the plan what comes next, and carries it out over HTTP.

Here: the tasks of one relay's sync, starting and stopping requests, telling plan, allowance and
width how they went. Not here: their decisions, lessons and lists (`queue`), requests (`sources`),
bytes into files (`carrying`), what a pupil waits for (`asking`), whose fault it is when something
goes wrong (`faults`). SYNC.md tells how it goes together.

Call `run` in a task of the service, `lessons_changed` whenever a lesson begins or ends here,
`ask_now` for a part that a pupil waits for. A bug in a task ends what it was at (`edge`).
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp

from classroom.clock import Clock, monotonic, wall
from classroom.errors import Absent, ClassroomError
from relay.cache.cache import Cache
from relay.sync.allowance import Allowance, Limits
from relay.sync.asking import Asking
from relay.sync.carrying import carry
from relay.sync.edge import Edge
from relay.sync.faults import PUT_OFF_SECONDS, WRONG_SECONDS, went_wrong
from relay.sync.loads import Load
from relay.sync.local_time import LocalTime
from relay.sync.materials import MaterialSync
from relay.sync.offer import Offer
from relay.sync.opened import Opened
from relay.sync.plan import Fetch, Plan, Step, Tier
from relay.sync.queue import Queue
from relay.sync.report import report
from relay.sync.sources import Lacking, Source
from relay.sync.turn import Turn
from relay.sync.watching import keep, watch_link, watch_list
from relay.sync.width import LOAD_MOST, Width
from relay.sync.wishes import Wishes

_log: Final = logging.getLogger("relay.sync")

# Requests side by side to what is near: a LAN is full with two, and so is an old machine.
_NEAR_WIDTH: Final = 2
_DISK_SECONDS: Final = 30.0
# As `Allowance.kept` gives them.
_BUDGET: Final = ("day", "spent", "ran")


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operator sets. siblings: base addresses of relays on the LAN. metered: every byte of
    the weak link costs money."""

    limits: Limits = field(default_factory=Limits)
    metered: bool = False
    siblings: tuple[str, ...] = ()


@dataclass(slots=True, eq=False)
class _Job:
    """manifest: digest of the archive's. left: bytes still to come of its load. ending: so few that
    the next one may be asked for."""

    fetch: Fetch
    source: Source
    manifest: str
    load: Load | None
    left: int = 0
    ending: bool = False


class Sync:
    """One per service process of a relay with parents."""

    def __init__(
        self,
        cache: Cache,
        archives: Path,
        state: Path,
        parents: Sequence[str],
        rules: Rules,
        token: Callable[[], str],
        live: Callable[[], bool],
        *,
        now: Clock = monotonic,
        date: Clock = wall,
    ) -> None:
        """state: file for what is known of sources. parents: base addresses, first preferred.
        live(): whether a lesson runs that this relay's rooms watch or are about to."""
        self.cache = cache
        self._archives = archives
        self._rules = rules
        self._addresses = [(url.rstrip("/"), False) for url in parents]
        self._addresses += [(url.rstrip("/"), True) for url in rules.siblings]
        self._token = token
        self._live = live
        self._now = now
        self.plan = Plan(metered=rules.metered)
        self.width = Width()
        self.time = LocalTime(now, date)
        self.wishes = Wishes(state)
        names = [name for name, _ in self._addresses]
        self.wishes.keep_only(names)
        self.queue = Queue(
            cache, archives, self.wishes, self.plan, names, lambda: self.time.moment().wall
        )
        self.allowance = Allowance(rules.limits, *map(self.wishes.recall, _BUDGET))
        self.sources: list[Source] = []
        self.materials: MaterialSync | None = None
        """What is brought over the same link, before recordings."""
        self._tasks: asyncio.TaskGroup | None = None
        self._jobs: dict[asyncio.Task[None], _Job] = {}
        self._asking = Asking(self)
        self._wake = asyncio.Event()
        self._list_due = asyncio.Event()
        self._turn = Turn(state.parent)
        self._disk_until = 0.0
        self._was_live = self._imported = False
        self._refusal = "starting"
        self.counts: Counter[str] = Counter()
        """near_bytes and far_bytes (of recordings), list_bytes, parts, lists, rubbish, failures,
        yields: since the start."""

    async def run(self, http: aiohttp.ClientSession) -> None:
        """Fetch, until cancelled."""
        self.sources = [
            Source(name, http, self._token, near=near) for name, near in self._addresses
        ]
        await self.queue.start()
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                for source in self.sources:
                    tasks.create_task(watch_list(self, source, self._list_due))
                tasks.create_task(watch_link(self))
                tasks.create_task(keep(self))
                while True:
                    self._wake.clear()
                    await self._fill(tasks)
                    try:
                        async with asyncio.timeout(1.0):
                            await self._wake.wait()
                    except TimeoutError:
                        continue
        finally:
            self._tasks = None
            self._turn.give()
            self.remember()
            self.wishes.close()

    # What others tell.

    def lessons_changed(self) -> None:
        """A lesson began or ended here, perhaps: whoever teaches now has the link at once."""
        live = self._live()
        if live and not self._was_live:
            self._cut_far()
            self._stop_far()
            if self.materials is not None:
                self.materials.stop_far()
        elif self._was_live and not live:
            self.ask_lists()  # what was just taught will be there soon
        self._was_live = live
        self._wake.set()

    def meant(self, lessons: Iterable[str]) -> None:
        """These lessons are meant for this school."""
        self.queue.mean(lessons)
        self._wake.set()

    async def ask_now(self, lesson: str, rendition: str, name: str, wait: float = 8.0) -> bool:
        """A pupil waits for this part: fetch it before all else; whether it is here within `wait`
        seconds. It goes on coming when it is not: ask again."""
        if self._tasks is None or self.look() == "import":
            return False
        return await self._asking.ask(self._tasks, lesson, rendition, name, wait)

    def is_offered(self, lesson: str) -> bool:
        """Whether a source has the lesson, so that `ask_now` may bring some of it."""
        return self.queue.offer(lesson) is not None

    def progress(self) -> dict[str, Any]:
        """How it fares, for people: see `report`."""
        return report(self)

    @property
    def metered(self) -> bool:
        """Whether every byte of the weak link costs money."""
        return self._rules.metered

    @property
    def refusal(self) -> str:
        """Why nothing crosses the weak link now: "live", "window", "budget", "disk", "import",
        "starting", or ""."""
        return self._refusal

    @property
    def is_busy_far(self) -> bool:
        """Whether something is under way over the weak link."""
        return self._far > 0

    @property
    def _far(self) -> int:
        """Requests over the weak link."""
        materials = self.materials.far if self.materials is not None else 0
        return materials + sum(not job.source.near for job in self._jobs.values())

    @property
    def is_waited_for(self) -> bool:
        """Whether a pupil waits for a part."""
        return self._asking.busy

    @property
    def under_way(self) -> list[tuple[Fetch, str]]:
        """What is being fetched, and from which source."""
        return [(job.fetch, job.source.name) for job in self._jobs.values()]

    def wake(self) -> None:
        """Something came that may be fetched."""
        self._wake.set()

    @property
    def is_live(self) -> bool:
        """Whether a lesson runs for which the weak link is kept free."""
        return self._live()

    def leave_disk(self, reason: str) -> None:
        """The disk takes nothing now."""
        _log.warning("sync-disk-away", extra={"reason": reason})
        self._disk_until = self._now() + _DISK_SECONDS

    def ask_lists(self) -> None:
        """The lists of sources may have changed."""
        self._list_due.set()

    # Starting and stopping.

    def look(self) -> str:
        """Why nothing may cross the weak link now, "" when it may."""
        moment = self.time.moment()
        if self._turn.wished() or not self._turn.take():
            return "import"
        if self._live():
            return "live"
        if moment.now < self._disk_until:
            return "disk"
        return self.allowance.refusal(moment)

    def _cut_far(self) -> None:
        """Whatever comes over the weak link, lists and parts that a pupil waits for among it, ends
        at once; these are asked for again when they may be."""
        for source in self.sources:
            if not source.near:
                source.stop()

    def _stop_far(self) -> None:
        """No recording crosses the weak link: cut the requests, then end what waits for them."""
        jobs = [task for task, job in self._jobs.items() if not job.source.near]
        if not jobs:
            return
        self.counts["yields"] += 1
        self._cut_far()
        for task in jobs:
            task.cancel()
        self.width.pause()

    def stop_others(self, lesson: str, part: tuple[str, str]) -> None:
        """A pupil waits for `part` (rendition, name) of `lesson`: end what would hold it up."""
        for task, job in self._jobs.items():
            load = job.load
            if job.source.near or load is None:
                continue
            names = {(load.rendition, piece.part.name) for piece in load.pieces}
            if load.lesson != lesson or part in names:
                task.cancel()

    async def _fill(self, tasks: asyncio.TaskGroup) -> None:
        """Start what may be started."""
        materials = self.materials
        if materials is not None:
            await materials.fill(tasks)
        self._refusal = self.look()
        if self._refusal == "import":
            # A drive is being imported beside us: the archives are its own until it is done.
            self._stop_far()
            for task in self._jobs:
                task.cancel()
            busy = self._asking.busy or (materials is not None and not materials.is_away)
            if not self._jobs and not busy:
                self._turn.give()
                self._imported = True
            return
        if self._imported:
            self._imported = False
            await asyncio.to_thread(self.cache.tend)
            await self.queue.start()
        if self._refusal in ("live", "window", "budget"):
            self._stop_far()
        self.width.handle_timer(self._now(), self._is_held_up_by_the_link())
        if not self.is_busy_far:
            self.width.pause()
        if self._refusal == "disk":
            return
        held = self._asking.busy or (materials is not None and materials.holds_link)
        groups = [False] if not self._refusal and not held else []
        if any(source.near for source in self.sources):
            groups.insert(0, True)
        for near in groups:
            await self._fill_from(tasks, near)

    def _is_held_up_by_the_link(self) -> bool:
        rate = self._rules.limits.rate
        return self._far >= self.width.connections and (not rate or self.width.rate < 0.85 * rate)

    async def _fill_from(self, tasks: asyncio.TaskGroup, near: bool) -> None:
        moment = self.time.moment()
        most = _NEAR_WIDTH if near else self.width.connections
        free = most - sum(job.source.near == near and not job.ending for job in self._jobs.values())
        if free <= 0:
            return
        names = [source.name for source in self.sources if source.near == near]
        had = [self.wishes.had(name) for name in self.plan.usable(names, "", moment.now)]

        def is_had(lesson: str) -> bool:
            if not any(lesson in lessons for lessons in had):
                return False
            offer = self.queue.offer(lesson)
            return offer is not None and self._source(offer, near) is not None

        metered = False if near else None
        fetches = self.plan.next_fetches(moment.now, moment.wall, free + 2, metered, is_had)
        begun = {(job.fetch.lesson, job.fetch.step) for job in self._jobs.values() if not job.load}
        tried: dict[str, bool] = {}
        for place, fetch in enumerate(fetches):
            if free <= 0:
                # What nobody came to yet is not what nothing can be done for.
                tried |= dict.fromkeys((later.lesson for later in fetches[place:]), True)
                break
            offer = self.queue.offer(fetch.lesson)
            source = self._source(offer, near) if offer is not None else None
            if offer is None or source is None:
                continue
            tried.setdefault(fetch.lesson, False)
            if fetch.step in (Step.OPEN, Step.FINISH, Step.EXTRAS):
                if fetch.step is Step.OPEN and not await self._is_worth_opening(fetch, offer):
                    continue
                started = (fetch.lesson, fetch.step) not in begun
                if fetch.step is Step.FINISH and self._is_fetching(fetch.lesson):
                    started = False
                if started:
                    job = _Job(fetch, source, offer.manifest, None)
                    self._start(tasks, job, self._top(fetch, offer, source))
                    free -= 1
                tried[fetch.lesson] = True
                continue
            opened = self.queue.opened(fetch.lesson)
            while free > 0 and opened is not None and await self._has_room(fetch, opened):
                most = LOAD_MOST if near else self.width.load_bytes()
                load = opened.load(fetch.rendition, most, moment.now)
                if load is None:
                    if not opened.left(fetch.rendition):
                        # The rest came while room was looked for: the plan knows what is next.
                        tried[fetch.lesson] = True
                        self.queue.consider(fetch.lesson)
                    break
                job = _Job(fetch, source, opened.manifest, load, load.size)
                self._start(tasks, job, self._carry(job, load, opened))
                tried[fetch.lesson] = True
                free -= 1
        for lesson, does in tried.items():
            if not does and not self._is_fetching(lesson):
                self.plan.put_off(lesson, moment.now + PUT_OFF_SECONDS)

    def _is_fetching(self, lesson: str) -> bool:
        return any(job.fetch.lesson == lesson for job in self._jobs.values())

    def source_for(self, offer: Offer) -> Source | None:
        """Where to ask for something of a lesson now, near before far."""
        return self._source(offer, True) or self._source(offer, False)

    def _source(self, offer: Offer, near: bool) -> Source | None:
        having = self.queue.sources(offer)
        names = [s.name for s in self.sources if s.near == near and s.name in having]
        usable = self.plan.usable(names, offer.manifest, self._now())
        return next((s for s in self.sources if usable and s.name == usable[0]), None)

    async def _is_worth_opening(self, fetch: Fetch, offer: Offer) -> bool:
        """Whether there is room for the least that a lesson is good for: its manifest and voice."""
        need = offer.size + offer.renditions.get("voice", 0)
        epoch = offer.epoch_ms / 1000
        if await asyncio.to_thread(self.cache.room_for, fetch.lesson, epoch) >= need:
            return True
        if fetch.tier is Tier.LIBRARY:
            self.plan.put_off_library(self._now() + PUT_OFF_SECONDS)
        return False

    async def _has_room(self, fetch: Fetch, opened: Opened) -> bool:
        need = opened.left(fetch.rendition)
        room = await asyncio.to_thread(self.cache.room_for, fetch.lesson)
        if room < need:
            return False
        try:
            await asyncio.to_thread(self.cache.make_room, need, fetch.lesson)
        except Absent as error:
            self.leave_disk(error.what)
            return False
        return True

    def _start(self, tasks: asyncio.TaskGroup, job: _Job, work: Awaitable[None]) -> None:
        task = tasks.create_task(self._guarded(job, work))
        self._jobs[task] = job
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        job = self._jobs.pop(task)
        opened = self.queue.opened(job.fetch.lesson)
        if job.load is not None and opened is not None:
            opened.release(job.load)
            self.queue.consider(job.fetch.lesson)
        self._wake.set()

    # Jobs.

    async def _guarded(self, job: _Job, work: Awaitable[None]) -> None:
        """`work`; what goes wrong in it becomes a fact about its source, lesson or disk."""
        lesson = job.fetch.lesson
        with Edge(self.counts, lesson=lesson, source=job.source.name):
            try:
                await work
                self.plan.source_gave(job.source.name, self._now())
            except ClassroomError as error:
                went_wrong(self, lesson, job.source, error, job.manifest)
            return
        # Not to be met again at once for ever.
        self.plan.put_off(lesson, self._now() + WRONG_SECONDS)

    async def _top(self, fetch: Fetch, offer: Offer, source: Source) -> None:
        spend = self.spender(source)
        if fetch.step is Step.FINISH:
            await self.queue.finish(offer, source, spend)
            _log.info("sync-lesson-whole", extra={"lesson": offer.lesson, "source": source.name})
        elif fetch.step is Step.EXTRAS:
            width = _NEAR_WIDTH if source.near else self.width.connections
            await self.queue.extras(offer, source, width, spend)
        else:
            here = self.queue.is_followed(offer)
            await self.queue.open(offer, None if here else source, spend)

    async def _carry(self, job: _Job, load: Load, opened: Opened) -> None:
        count = self.spender(job.source)
        # What comes in a round trip: the next request is on its way while the last bytes are.
        tail = 0.0
        if not job.source.near and self.width.round_trip is not None:
            tail = 1.5 * self.width.round_trip * self.width.rate / self.width.connections

        async def spend(size: int) -> None:
            job.left -= size
            if job.left < tail and not job.ending:
                job.ending = True
                self._wake.set()
            await count(size)

        begins = opened.begins[load.rendition]
        async with job.source.bring(load, begins, opened.manifest) as body:
            await carry(self.cache, load, body, spend, opened.came)
        whole = all(opened.part(p.part.rendition, p.part.name) is None for p in load.pieces)
        if not whole:
            raise Lacking("it has a part less than it said")
        self.counts["parts"] += len(load.pieces)

    def spender(self, source: Source, counter: str = "") -> Callable[[int], Awaitable[None]]:
        """What counts the bytes that come from `source`, and waits where there is a rate cap.
        counter: of `counts`, where it is not the recordings'."""
        name = counter or ("near_bytes" if source.near else "far_bytes")

        async def near(size: int) -> None:
            self.counts[name] += size

        async def far(size: int) -> None:
            self.counts[name] += size
            self.width.receive_bytes(size)
            wait = self.allowance.spend(size, self.time.moment())
            if wait > 0.0:
                await asyncio.sleep(wait)

        return near if source.near else far

    def remember(self) -> None:
        """What was spent survives a restart."""
        for name, value in zip(_BUDGET, self.allowance.kept, strict=True):
            self.wishes.remember(name, value)
