"""Still pictures for the rooms whose links carry no video: made once, sent to each at its pace.

Lives here: when a picture is made of which keyframe, in which sizes, and which picture a room gets
next. Must not live here: codecs and the worker process (relay.record), a room's socket (`events`).
Several rooms share one encoding per size class; at most one picture per beat; none that shows the
same as the one before.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

from classroom.clock import Clock, monotonic
from classroom.wire import MAX_OCTETS, MAX_PARTS, RungName, Source, Still, StillPart
from relay.record.stills import Keyframe, Keyframes
from relay.record.stills_maker import Picture, StillsMaker
from relay.web.lessons import KnownLessons
from relay.web.rungs import RoomState, Rungs

# Bytes of a still by size class: a room gets the largest that its share of a beat carries.
CLASSES: Final = (1_500, 2_500, 3_500, 5_000, 7_000, 10_000, 14_000, 20_000, 32_000, 48_000)
# How much of a beat a still is on its way. A face moves: when a still is captured the one before it
# is a beat old, and none should be shown that is older than ten seconds, though TCP sends a part of
# every fifth again, which takes a round trip and more. A slide stays what it is, and has to be
# read: it may take until shortly before the next.
_SHARE_OF_BEAT: Final = {Source.CAMERA: 0.11, Source.SCREEN: 0.6}
# What a part costs beside its bytes: message, WebSocket, TCP and IP.
PART_OVERHEAD: Final = 90
# How often is looked for rooms that begin to want stills.
_LOOK_SECONDS: Final = 0.25
# Of a beat's keyframes the smallest come first, and the one that suits best may be a large one.
_TOGETHER_SECONDS: Final = 0.05
# A worker that nobody asked for so long is ended.
_IDLE_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class NewStill:
    """A picture of a lesson, by size class. number: rises with each. frame: what it was made of.

    captured: Unix seconds when the lesson last looked like this. refused: sizes that it could not
    be had in.
    """

    number: int
    frame: Keyframe
    captured: float
    pictures: dict[int, Picture]
    refused: frozenset[int] = frozenset()

    @property
    def source(self) -> Source:
        """What it shows."""
        return Source(self.frame.source)


def size_class(stills_bitrate: float, beat: float, source: Source) -> int:
    """Bytes of the still of `source` that a room with so many bit/s for stills is sent."""
    carries = stills_bitrate / 8.0 * beat * _SHARE_OF_BEAT[source] * MAX_OCTETS
    carries /= MAX_OCTETS + PART_OVERHEAD
    return max((size for size in CLASSES if size <= carries), default=CLASSES[0])


def wants_stills(state: RoomState | None) -> bool:
    """Whether the room is to be sent stills now: of slides alone where the voice hardly fits."""
    if state is None or state.stills_bitrate <= 0.0:
        return False
    return state.rung in (RungName.STILLS, RungName.VOICE)


class Stills:
    """Run `run` in a task for the life of the service; ask `of` for what a room should see."""

    def __init__(
        self,
        rungs: Rungs,
        lessons: KnownLessons,
        keyframes: Keyframes,
        maker: StillsMaker,
        beat: float,
        now: Clock = monotonic,
    ) -> None:
        """beat: seconds between keyframes, and at least between two stills of a lesson."""
        self._rungs = rungs
        self._lessons = lessons
        self._keyframes = keyframes
        self._maker = maker
        self._beat = beat
        self._now = now
        self._newest: dict[str, NewStill] = {}
        self._looked: dict[str, int] = {}
        self._made_of: dict[str, float] = {}
        """Captured: Unix seconds of the keyframe that was last made a still of."""
        self._number = 0
        self._observers: set[Callable[[str], None]] = set()
        self.made = 0
        """Pictures made, over all lessons and size classes."""

    def observe(self, observer: Callable[[str], None]) -> Callable[[], None]:
        """Call `observer(lesson)` when there is a new picture; the result ends it."""
        self._observers.add(observer)
        return lambda: self._observers.discard(observer)

    def of(self, state: RoomState) -> tuple[NewStill, Picture] | None:
        """The picture that the room should show; None while there is none for it."""
        still = self._newest.get(state.lesson)
        if still is None or still.source.value not in self._sources(state.lesson):
            return None
        if state.rung is RungName.VOICE and still.source is not Source.SCREEN:
            return None
        wanted = size_class(state.stills_bitrate, self._beat, still.source)
        fitting = [size for size in still.pictures if size <= wanted]
        return (still, still.pictures[max(fitting)]) if fitting else None

    async def run(self) -> None:
        """Make pictures while rooms want them, until cancelled."""
        asked_at = self._now()
        came = asyncio.Event()
        self._keyframes.came = came.set
        try:
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_SECONDS):
                        await came.wait()
                        await asyncio.sleep(_TOGETHER_SECONDS)
                came.clear()
                if await self.look():
                    asked_at = self._now()
                elif self._now() - asked_at > _IDLE_SECONDS:
                    await self._maker.stop()
        finally:
            await self._maker.stop()

    async def look(self) -> bool:
        """Make what is wanted now; whether anything is."""
        wanted = self._wanted()
        for lesson, sizes in wanted.items():
            await self._look(lesson, sizes)
        for lesson in [name for name in self._newest if name not in wanted]:
            self._forget(lesson)
        return bool(wanted)

    def _wanted(self) -> dict[str, set[int]]:
        wanted: dict[str, set[int]] = {}
        for state in self._rungs.states():
            slides = Source.SCREEN.value in self._sources(state.lesson)
            if state.rung is RungName.VOICE and not slides:
                continue
            if wants_stills(state):
                source = Source.SCREEN if slides else Source.CAMERA
                size = size_class(state.stills_bitrate, self._beat, source)
                wanted.setdefault(state.lesson, set()).add(size)
        return wanted

    async def _look(self, lesson: str, sizes: set[int]) -> None:
        frame = self._keyframes.newest(lesson, self._sources(lesson))
        if frame is None:
            return
        newest = self._newest.get(lesson)
        # A publisher that sends keyframes all the time must not keep the worker busy. Counted from
        # capture to capture: a room that came in the middle of a beat has the next still in time.
        is_other = newest is None or newest.frame.source != frame.source
        since = abs(frame.captured - self._made_of.get(lesson, -1e9))
        early = since < self._beat * 0.75 and not is_other
        if frame.number != self._looked.get(lesson) and not early:
            self._looked[lesson] = frame.number
            self._made_of[lesson] = frame.captured
            made = await self._make(frame, sizes, again=is_other)
            if made:
                self._number += 1
                self._keep(lesson, NewStill(self._number, frame, frame.captured, made))
                return
            if newest is not None and not is_other:
                # Whoever is shown the picture from now on sees it as of `frame`.
                self._newest[lesson] = newest = replace(newest, captured=frame.captured)
        if newest is None:
            return
        missing = sizes - newest.pictures.keys() - newest.refused
        if missing:
            # The same picture for a room that carries more or less: no news for the others.
            made = await self._make(newest.frame, missing, again=True)
            refused = newest.refused | (missing - made.keys())
            pictures = {**newest.pictures, **made}
            self._keep(lesson, replace(newest, pictures=pictures, refused=refused))

    async def _make(self, frame: Keyframe, sizes: set[int], again: bool) -> dict[int, Picture]:
        pictures = await self._maker.make(frame, sorted(sizes), again) or []
        self.made += len(pictures)
        return {each.budget: each for each in pictures if len(each.data) <= _MOST_BYTES}

    def _keep(self, lesson: str, still: NewStill) -> None:
        self._newest[lesson] = still
        for observer in list(self._observers):
            observer(lesson)

    def _sources(self, lesson: str) -> tuple[str, ...]:
        info = self._lessons.info(lesson)
        return () if info is None else tuple(source.value for source in info.sources)

    def _forget(self, lesson: str) -> None:
        for table in (self._newest, self._looked, self._made_of):
            table.pop(lesson, None)


_MOST_BYTES: Final = MAX_PARTS * MAX_OCTETS


def messages(still: NewStill, picture: Picture) -> Iterable[Still | StillPart]:
    """The picture as a page receives it: its head, then its parts."""
    parts = [picture.data[at : at + MAX_OCTETS] for at in range(0, len(picture.data), MAX_OCTETS)]
    yield Still(
        still.number,
        still.frame.lesson,
        still.source,
        still.captured,
        picture.mime,
        picture.width,
        picture.height,
        len(parts),
        len(picture.data),
    )
    for number, data in enumerate(parts):
        yield StillPart(still.number, number, data)
