"""What to fetch next, of everything that could be fetched. PURE.

Here: the order of lessons and of what is in each, which sources may be asked for it now, and
sources that are left alone for a while because they sent rubbish or nothing. Not here: when the
link may be
used (`allowance`), the bytes of a request (`loads`), how many at once (`width`), sockets and files.

The order: what a pupil waits for; then lessons meant for this school, then the rest of the library;
in each of them voice and slides, the small picture, gaps in what is here in part, better
renditions. A lesson has one place in the queue, that of the next step it needs, so a library of
15,000 lessons costs one short tuple each.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Final

# A source that failed is left alone for this long at first, and twice as long each time (s).
_BACK_OFF_LEAST: Final = 1.0
_BACK_OFF_MOST: Final = 1800.0
# Rubbish is worse than absence: the source is broken, and asking costs the link.
_RUBBISH_TIMES: Final = 60.0
# What a pupil follows stays first for this long after the last part that was asked for (s): longer
# than a segment lasts, and than a player that has enough of them waits.
FOLLOWED_S: Final = 90.0


class Tier(IntEnum):
    """Whose a lesson is."""

    FOLLOWED = 0
    """A pupil watches it here now."""
    MEANT = 1
    """Held for this school: told to it, recorded here, pinned, or on its timetable."""
    LIBRARY = 2


class Step(IntEnum):
    """What of a lesson comes when."""

    OPEN = 0
    """Its manifest, without which nothing else can be asked for."""
    VOICE = 1
    SLIDES = 2
    SMALL = 3
    GAPS = 4
    BETTER = 5
    FINISH = 6
    """Journal and events, when every part is here."""
    EXTRAS = 7
    """Captions and copies for old devices, of a lesson that is whole here."""


@dataclass(frozen=True, slots=True)
class Share:
    """One rendition of a lesson: bytes of all its files, and how many of them are here."""

    rendition: str
    bytes: int
    held: int = 0


@dataclass(frozen=True, slots=True)
class Lesson:
    """What is known of one lesson that a source has.

    recorded_at: unix seconds; what claims to be from the future counts as from now. wanted_at: when
    the timetable has it next. opened: its manifest is here. whole: nothing but extras are left.
    """

    lesson: str
    tier: Tier
    shares: tuple[Share, ...]
    recorded_at: float = 0.0
    wanted_at: float | None = None
    opened: bool = False
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Fetch:
    """One thing to be done: `step` of `lesson`, of `rendition` where the step has one."""

    lesson: str
    tier: Tier
    step: Step
    rendition: str = ""


def steps(lesson: Lesson) -> Iterator[Fetch]:
    """Everything that is still to be done for `lesson`, in order."""

    def fetch(step: Step, rendition: str = "") -> Fetch:
        return Fetch(lesson.lesson, lesson.tier, step, rendition)

    if lesson.whole:
        yield fetch(Step.EXTRAS)
        return
    if not lesson.opened:
        yield fetch(Step.OPEN)
    pictures = sorted((s for s in lesson.shares if s.rendition != "voice"), key=_size)
    slides = next((s for s in pictures if s.rendition.startswith("screen")), None)
    small = next((s for s in pictures if s.rendition.startswith("camera")), None)
    found = []
    for share in lesson.shares:
        if share.held >= share.bytes:
            continue
        if share.rendition == "voice":
            step = Step.VOICE
        elif share is slides:
            step = Step.SLIDES
        elif share is small:
            step = Step.SMALL
        else:
            step = Step.GAPS if share.held else Step.BETTER
        found.append((step, share.bytes, share.rendition))
    for step, _, rendition in sorted(found):
        yield fetch(step, rendition)
    # Not before: without all parts the archive cannot be finished, and its journal came in vain.
    if lesson.opened and not found:
        yield fetch(Step.FINISH)


def _size(share: Share) -> tuple[int, str]:
    return share.bytes, share.rendition


_Key = tuple[Tier, Step, float, str]


@dataclass(slots=True)
class _Standing:
    """A source, as experience has it. until: monotonic seconds before which it is left alone."""

    until: float = 0.0
    failures: int = 0
    rubbish: int = 0
    lacks: dict[str, float] = field(default_factory=dict)


class Plan:
    """The queue of lessons and the standing of sources. Times are monotonic seconds but where a
    date is named."""

    def __init__(self, *, metered: bool = False) -> None:
        """metered: every byte of the link costs money: only what is meant for this school or asked
        for crosses it, and of that no better renditions."""
        self._metered = metered
        self._lessons: dict[str, Lesson] = {}
        self._keys: dict[str, _Key] = {}
        self._order: list[_Key] = []
        # Lessons and bytes still to come, of all and of those that a metered link brings.
        self._owed = [0, 0, 0, 0]
        self._followed: dict[str, float] = {}
        self._put_off: dict[str, float] = {}
        self._library_from = 0.0
        self._sources: dict[str, _Standing] = {}

    def update(self, lesson: Lesson, date: float) -> None:
        """A lesson is new, or more of it is here. date: unix seconds."""
        self.forget(lesson.lesson)
        self._lessons[lesson.lesson] = lesson
        if lesson.lesson in self._followed:
            lesson = replace(lesson, tier=Tier.FOLLOWED)
        first = next(steps(lesson), None)
        if first is None:
            return
        # What the timetable wants soonest, then what is newest.
        when = -min(lesson.recorded_at, date)
        if lesson.wanted_at is not None and lesson.wanted_at > date - 86_400.0:
            when = lesson.wanted_at - 1e12
        self._owe(_owed(lesson), 1)
        key = (lesson.tier, first.step, when, lesson.lesson)
        self._keys[lesson.lesson] = key
        insort(self._order, key)

    def forget(self, lesson: str) -> None:
        """No source has it any more, or it is not to be fetched."""
        known = self._lessons.pop(lesson, None)
        key = self._keys.pop(lesson, None)
        if key is not None and known is not None:
            self._owe(_owed(replace(known, tier=key[0])), -1)
            del self._order[bisect_left(self._order, key)]

    def _owe(self, owed: tuple[int, int, int, int], sign: int) -> None:
        self._owed = [sum_ + sign * one for sum_, one in zip(self._owed, owed, strict=True)]

    def lesson(self, lesson: str) -> Lesson | None:
        """As it was last told."""
        return self._lessons.get(lesson)

    def follow(self, lesson: str, now: float, date: float) -> None:
        """A pupil here waits for a part of it: the lesson goes before all others for a while."""
        known = lesson in self._followed
        self._followed[lesson] = now + FOLLOWED_S
        self._put_off.pop(lesson, None)
        if not known and lesson in self._lessons:
            self.update(self._lessons[lesson], date)

    def put_off(self, lesson: str, until: float) -> None:
        """Nothing can be done for it before `until`: no space, or its parts are refused."""
        self._put_off[lesson] = until

    def put_off_library(self, until: float) -> None:
        """There is no room for what nobody asked for."""
        self._library_from = until

    def next_fetches(
        self,
        now: float,
        date: float,
        most: int,
        metered: bool | None = None,
        is_had: Callable[[str], bool] = lambda lesson: True,
    ) -> list[Fetch]:
        """What to do, best first, for the first `most` lessons for which anything can be done.

        metered: whether the source in question is behind the metered link; None: as set.
        is_had(lesson): it can be asked for now. Those that cannot hold up no others.
        """
        for lesson in [name for name, until in self._followed.items() if until <= now]:
            del self._followed[lesson]
            if lesson in self._lessons:
                self.update(self._lessons[lesson], date)
        for lesson in [name for name, until in self._put_off.items() if until <= now]:
            del self._put_off[lesson]
        sparing = self._metered if metered is None else metered
        first: list[str] = []
        for tier, step, _, name in self._order:
            if len(first) >= most:
                break
            if tier is Tier.LIBRARY and (sparing or now < self._library_from):
                break
            # Where the first step is too dear, so are those behind it.
            spared = sparing and _dear(Fetch(name, tier, step))
            if not spared and name not in self._put_off and is_had(name):
                first.append(name)
        found = [
            (fetch.tier, fetch.step, place, fetch)
            for place, name in enumerate(first)
            for fetch in steps(replace(self._lessons[name], tier=self._keys[name][0]))
            if not (sparing and _dear(fetch))
        ]
        # Of one lesson's many steps those of the same kind stay in their order.
        found.sort(key=lambda item: item[:3])
        return [fetch for *_, fetch in found]

    def waiting(self, metered: bool = False) -> tuple[int, int]:
        """Lessons and bytes still to come; of a metered link, only what it is used for."""
        lessons, size, spared_lessons, spared_size = self._owed
        return (spared_lessons, spared_size) if metered else (lessons, size)

    # Sources.

    def usable(self, sources: Sequence[str], archive: str, now: float) -> list[str]:
        """Those of `sources` that may be asked for something of `archive`, in their order.

        archive: digest of its manifest, which is another one once the lesson goes on there; of a
        lesson that runs, the lesson.
        """
        return [
            name
            for name in sources
            if (standing := self._sources.get(name)) is None
            or (standing.until <= now and standing.lacks.get(archive, 0.0) <= now)
        ]

    def source_failed(self, source: str, now: float, *, rubbish: bool = False) -> float:
        """It is away, stalls, or sent what is refused; returns until when it is left alone."""
        standing = self._sources.setdefault(source, _Standing())
        # Several requests that were under way fail together: that is one failure.
        if now >= standing.until:
            standing.failures += 1
        standing.rubbish += rubbish
        wait = _BACK_OFF_LEAST * 2.0 ** min(standing.failures - 1, 12)
        wait = min(_BACK_OFF_MOST, wait * (_RUBBISH_TIMES if rubbish else 1.0))
        standing.until = max(standing.until, now + wait)
        return standing.until

    def source_lacks(self, source: str, archive: str, now: float) -> None:
        """It has not all of an archive that it should have; another is asked for a while."""
        lacks = self._sources.setdefault(source, _Standing()).lacks
        for other in [name for name, until in lacks.items() if until <= now]:
            del lacks[other]
        lacks[archive] = now + _BACK_OFF_LEAST * _RUBBISH_TIMES

    def source_gave(self, source: str, now: float) -> None:
        """It gave what was asked for, and that was right."""
        standing = self._sources.get(source)
        # What arrives while it is left alone was asked for before that.
        if standing is not None and standing.until <= now:
            standing.failures = 0

    def standing(self, source: str, now: float) -> tuple[float, int, int]:
        """Seconds that it is still left alone, failures in a row, times that it sent rubbish."""
        standing = self._sources.get(source, _Standing())
        return max(0.0, standing.until - now), standing.failures, standing.rubbish


def _dear(fetch: Fetch) -> bool:
    """Whether a metered link is spared it."""
    return fetch.step in (Step.BETTER, Step.GAPS, Step.EXTRAS) and fetch.tier is not Tier.FOLLOWED


def _owed(lesson: Lesson) -> tuple[int, int, int, int]:
    """What a lesson adds to what is still to come: see `Plan.waiting`."""
    left = {share.rendition: share.bytes - share.held for share in lesson.shares}
    spared = 0
    if lesson.tier is not Tier.LIBRARY:
        spared = sum(left.get(one.rendition, 0) for one in steps(lesson) if not _dear(one))
    return 1, sum(left.values()), int(spared > 0), spared
