"""The lessons that could be brought here, kept in step: lists of sources, cache, plan.

Here: what is told to the plan of each lesson, opening a lesson (its manifest), finishing it
(journal and events), the words beside it. Not here: the order (`plan`), bytes of renditions
(`carrying`), when and how many at once (`client`). Lives on the event loop; reads of the lists are
short.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

from classroom.archive.names import EVENTS, EXTRAS, JOURNAL, MANIFEST
from classroom.clock import Clock, wall
from classroom.errors import Absent
from classroom.wire import ListChange
from relay.cache.cache import Cache
from relay.sync.about import keep_about
from relay.sync.carrying import DiskAway, Spend, first_of
from relay.sync.extras import bring_extras
from relay.sync.offer import Offer, list_in
from relay.sync.opened import Opened
from relay.sync.plan import Lesson, Plan, Share, Tier
from relay.sync.sources import Changes, Source
from relay.sync.wishes import Wishes

# Manifests held as parts in memory, half a megabyte each.
_OPENED: Final = 12
# Lessons considered before others have a turn.
_AT_ONCE: Final = 50

_P = ParamSpec("_P")
_R = TypeVar("_R")


class Queue:
    """One per service process."""

    def __init__(
        self,
        cache: Cache,
        archives: Path,
        wishes: Wishes,
        plan: Plan,
        order: Sequence[str],
        date: Clock = wall,
    ) -> None:
        """order: names of the sources; of two that tell of a lesson the first one is right."""
        self._cache = cache
        self._archives = archives
        self._wishes = wishes
        self._plan = plan
        self._order = order
        self._date = date
        self._meant = wishes.meant()
        self._opened: OrderedDict[str, Opened] = OrderedDict()
        self._observers: list[Callable[[str], None]] = []
        self.on_lists: Callable[[list[ListChange]], None] = lambda told: None
        """Called with what a source's list says of lists of materials that changed late."""
        self.finished = 0
        """Lessons that became whole, since this process began."""

    def observe(self, observer: Callable[[str], None]) -> None:
        """observer(lesson), from any thread: what its archive or the words about it say changed."""
        self._observers.append(observer)

    async def start(self) -> None:
        """Take up what was known before a restart."""
        for number, name in enumerate(self._wishes.lessons()):
            self.consider(name)
            if number % _AT_ONCE == _AT_ONCE - 1:
                await asyncio.sleep(0)

    async def take(self, source: str, changes: Changes) -> None:
        """A page of a source's list came."""
        lists = ((offer.lesson, *list_in(offer.about)) for offer in changes.offers)
        self.on_lists([ListChange(*one) for one in lists if one[2]])
        for number, name in enumerate(self._wishes.take(source, changes)):
            self.consider(name)
            if number % _AT_ONCE == _AT_ONCE - 1:
                await asyncio.sleep(0)

    def mean(self, lessons: Iterable[str]) -> None:
        """These lessons are meant for this school."""
        new = [lesson for lesson in lessons if lesson not in self._meant]
        if new:
            self._meant.update(new)
            self._wishes.mean(new)
            for lesson in new:
                self.consider(lesson)

    def offer(self, lesson: str) -> Offer | None:
        """What is known of a lesson that some source has."""
        return self._wishes.offer(lesson, self._order)

    def sources(self, offer: Offer) -> set[str]:
        """The sources that have this very archive."""
        return self._wishes.sources(offer.lesson, offer.manifest)

    def opened(self, lesson: str) -> Opened | None:
        """The lesson's parts, if its manifest is here and in memory."""
        found = self._opened.get(lesson)
        if found is not None:
            self._opened.move_to_end(lesson)
        return found

    def consider(self, lesson: str) -> None:
        """Something about it may have changed: tell the plan."""
        offer = self.offer(lesson)
        held = self._cache.holding(lesson)
        whole = (
            offer is not None
            and held is not None
            and held.settled
            and held.manifest == offer.manifest
        )
        if whole:
            self._opened.pop(lesson, None)
            if offer is not None and self._has_extras(offer):
                offer = None
        if offer is None or self._cache.was_evicted(lesson):
            self._plan.forget(lesson)
            return
        opened = self._opened.get(lesson)
        if opened is not None and opened.manifest != offer.manifest:
            del self._opened[lesson]
            opened = None
        here = held is not None and (held.bytes > 0 or held.pinned or held.wanted_at is not None)
        meant = here or lesson in self._meant
        shares: tuple[Share, ...]
        if whole:
            shares = ()
        elif opened is not None:
            shares = opened.shares()
        elif meant:
            shares = tuple(Share(name, size) for name, size in offer.renditions.items())
        else:
            # Of a whole library only what its order needs is kept in memory.
            shares = (Share("", offer.bytes),)
        self._plan.update(
            Lesson(
                lesson,
                Tier.MEANT if meant else Tier.LIBRARY,
                shares,
                offer.epoch_ms / 1000,
                held.wanted_at if held is not None else None,
                opened is not None,
                whole,
            ),
            self._date(),
        )

    def reopen(self, lesson: str) -> None:
        """What is known of its parts is not so any more."""
        self._opened.pop(lesson, None)
        self.consider(lesson)

    def _has_extras(self, offer: Offer) -> bool:
        if not offer.extras:
            return True
        known = self._wishes.extras(offer.lesson) == offer.extras
        return known and (self._archives / offer.lesson / EXTRAS).exists()

    async def extras(self, offer: Offer, source: Source, width: int, spend: Spend) -> None:
        """Bring captions and copies of a whole lesson. Raises as `bring_extras`."""
        one = self._cache, self._archives, offer.lesson, offer.extras
        try:
            await bring_extras(*one, source, width, spend)
        except ExceptionGroup as errors:
            raise first_of(errors) from None
        self._wishes.have_extras(offer.lesson, offer.extras)
        self.consider(offer.lesson)

    def is_followed(self, offer: Offer) -> bool:
        """Whether the manifest is here already, so that opening needs no source."""
        held = self._cache.holding(offer.lesson)
        return held is not None and held.manifest == offer.manifest

    async def open(self, offer: Offer, source: Source | None, spend: Spend) -> Opened:
        """Take the lesson's manifest over, from `source` if it is not here. Raises Absent,
        DiskAway, Refused."""
        if source is not None:
            data = await source.top(offer.lesson, MANIFEST, offer.manifest)
            await spend(len(data))
            await self._disk(self._cache.begin, offer.lesson, data)
            await asyncio.to_thread(self._tell_about, offer)
        return await self.inspect(offer.lesson, offer.manifest)

    async def inspect(self, lesson: str, manifest: str) -> Opened:
        """See anew what is missing of a lesson whose manifest (a digest) is here."""

        def look() -> Opened:
            document, _ = self._cache.view(lesson)
            missing = self._cache.missing(lesson)
            return Opened(manifest, document, missing, self._cache.part_size)

        opened = await self._disk(look)
        before = self._opened.get(lesson)
        if before is not None:
            opened.take_over(before)
        self._opened[lesson] = opened
        self._opened.move_to_end(lesson)
        if len(self._opened) > _OPENED:
            idle = (name for name, one in self._opened.items() if not one.is_busy)
            oldest = next(idle, None)
            if oldest is not None and oldest != lesson:
                del self._opened[oldest]
                self.consider(oldest)
        self.consider(lesson)
        return opened

    async def finish(self, offer: Offer, source: Source, spend: Spend) -> None:
        """Nothing is missing: take journal and events over, and let the archive be as the source's.
        Raises Absent, DiskAway, Refused."""
        # First, for it costs the link nothing: a journal may be 5 MB.
        await self._disk(self._cache.verify, offer.lesson)
        tops: dict[str, bytes | None] = {}
        for name, digest in ((JOURNAL, offer.journal), (EVENTS, offer.events)):
            ours = await self._disk(self._cache.top_digest, offer.lesson, name)
            tops[name] = None
            if ours != digest and digest:
                data = tops[name] = await source.top(offer.lesson, name, digest)
                await spend(len(data))
        await self._disk(self._cache.finish, offer.lesson, tops[JOURNAL], tops[EVENTS])
        await asyncio.to_thread(self._tell_about, offer)
        self._opened.pop(offer.lesson, None)
        self.finished += 1
        self.consider(offer.lesson)

    def _tell_about(self, offer: Offer) -> None:
        keep_about(self._archives, offer.lesson, offer.about)
        for observer in self._observers:
            observer(offer.lesson)

    async def _disk(self, work: Callable[_P, _R], *arguments: _P.args, **named: _P.kwargs) -> _R:
        try:
            return await asyncio.to_thread(work, *arguments, **named)
        except Absent as error:
            raise DiskAway(error.what, fix=error.fix) from error
        except OSError as error:
            raise DiskAway(str(error), fix="Check the disk.") from error
