"""Which simulcast layer a playlist shows in each beat. PURE.

Here: the choice among the layers of one source, from a manifest alone. Not here: the playlist's
lines (`hls`). A weak uplink drops the large layers first, and a browser that does not know its link
yet begins one with a single picture and pauses it; a player that asked for it would see that
picture stand, while smaller ones move. So a beat that a layer does not have nearly whole is shown
by the layer next to it that has. The choice is made once the layers' segments of a beat are closed
and no layer that is nearer can still have enough of it, so that a running lesson's playlist only
grows.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from classroom.archive.journal import Segment
from classroom.archive.manifest import Manifest, RenditionManifest
from classroom.archive.names import is_copy

SLACK: Final = 1
"""Seconds that a layer may lack of a beat before another one shows it."""
_LATE: Final = 2
"""Seconds after which nothing is believed to come any more of what was taught then: as long as a
picture waits for its repairs, and more."""
_FULL: Final = 0.9
"""Share of the fullest layer's length that one has which can stand for a whole lesson."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A segment of the playlist, and the layer that it is of."""

    rendition: RenditionManifest
    segment: Segment

    @property
    def end(self) -> int:
        return self.segment.start + self.segment.duration


@dataclass(frozen=True, slots=True)
class Choice:
    """segments: in order of time; each begins in a later place than the one before, which may
    reach into it. until: ticks up to which it is known what there is, inf: all of it."""

    segments: list[Shown]
    until: float


def choose(
    manifest: Manifest, rendition: RenditionManifest, growing: Mapping[str, float] | None = None
) -> Choice:
    """What the playlist of `rendition` shows. growing: renditions with an open segment, and
    where that begins about, at the earliest, in seconds."""
    growing = growing or {}
    name = rendition.name
    own = [Shown(rendition, segment) for segment in rendition.segments]
    if not is_layer(name):
        return Choice(own, _until(manifest, rendition, growing.get(name, math.inf)))
    siblings = f"{name.partition('-')[0]}-"
    codecs = _codecs(rendition)
    others = [
        one
        for one in manifest.renditions
        if one.name.startswith(siblings) and one is not rendition and _codecs(one) & codecs
    ]
    others.sort(key=lambda one: (abs(_height(one) - _height(rendition)), one.name))
    known = {one.name for one in manifest.renditions}
    new = [at for one, at in growing.items() if one.startswith(siblings) and one not in known]
    return _Chooser(manifest, rendition, others, growing, min(new, default=None)).run()


def _until(manifest: Manifest, rendition: RenditionManifest, since: float) -> float:
    """Ticks up to which nothing more comes of a source that has a segment open since the second
    `since` about; inf: it has none. A source that was off for long is known to have been: what was
    listed before it came back stays."""
    if since == math.inf:
        return since
    # The beat before may still be the one that it begins in: others may have been a little ahead.
    beats = math.ceil(since * 1000) // manifest.beat_ms - 1
    return max(rendition.end, beats * manifest.beat_ms * rendition.timescale // 1000)


def fullest(renditions: Collection[RenditionManifest]) -> list[RenditionManifest]:
    """Those that have nearly as much of the lesson as the one that has most; none of none."""
    has = {one.name: sum(segment.duration for segment in one.segments) for one in renditions}
    most = max(has.values(), default=0)
    return [one for one in renditions if has[one.name] >= _FULL * most]


def is_layer(name: str) -> bool:
    """Whether the rendition is one of several encodings of its source."""
    return "-" in name and not is_copy(name)


def _codecs(rendition: RenditionManifest) -> set[str]:
    return {init.codec.partition(".")[0] for init in rendition.inits}


def _height(rendition: RenditionManifest) -> int:
    # The first one's, which stays what it is while the lesson goes on.
    return rendition.inits[0].height


@dataclass(slots=True)
class _Chooser:
    manifest: Manifest
    own: RenditionManifest
    others: list[RenditionManifest]
    growing: Mapping[str, float]
    begun: float | None
    """When, in seconds, a further layer began that has no whole segment yet."""
    shown: list[Shown] = field(default_factory=list)
    _begun: dict[str, dict[int, list[Segment]]] = field(default_factory=dict)

    def run(self) -> Choice:
        ticks = self.own.timescale
        beat = self.manifest.beat_ms * ticks // 1000
        for one in (self.own, *self.others):
            begun = self._begun[one.name] = {}
            for segment in one.segments:
                begun.setdefault(segment.start // beat, []).append(segment)
        end = max(one.end for one in (self.own, *self.others))
        settled = math.inf
        if not self.manifest.finished:
            # A beat that another one followed is over, whatever is still open in it.
            settled = (self.manifest.duration_ms // self.manifest.beat_ms - 1) * beat
        for number in range(-(-end // beat)):
            chosen = self._layer(number, beat, ticks, settled)
            if chosen is None:
                return Choice(self.shown, number * beat)
            for segment in self._begun[chosen.name].get(number, ()):
                self.shown.append(Shown(chosen, segment))
        since = [self.growing.get(one.name, math.inf) for one in (self.own, *self.others)]
        return Choice(self.shown, max(end, _until(self.manifest, self.own, min(since))))

    def _layer(
        self, number: int, beat: int, ticks: int, settled: float
    ) -> RenditionManifest | None:
        """The layer that shows the beat `number`; None: not known yet."""
        start, end = number * beat, (number + 1) * beat
        slack = min(SLACK * ticks, beat // 2)
        waits, enough = end > settled, end - start - slack
        most, best = 0, self.own
        for one in (self.own, *self.others):
            has = self._has(one, number, start, end)
            if has >= enough:
                return one
            # One that pauses may go on in this beat.
            if waits and max(has + self._left(one, end), self._new(start, end)) >= enough:
                return None
            if has > most + (slack if best is self.own else 0):
                most, best = has, one
        return None if waits else best

    def _left(self, one: RenditionManifest, end: int) -> float:
        """Ticks before `end` that `one` may get yet."""
        # What was opened is no earlier than what would have been waited for before.
        since = self.growing.get(one.name, self.manifest.duration_ms / 1000) * one.timescale
        if one.name in self.growing and since >= end:
            return 0
        return max(0, end - max(one.end, since - _LATE * one.timescale))

    def _new(self, start: int, end: int) -> float:
        """Ticks from `start` to `end` that a further layer may have."""
        if self.begun is None:
            return 0
        return end - max(start, (self.begun - _LATE) * self.own.timescale)

    def _has(self, one: RenditionManifest, number: int, start: int, end: int) -> int:
        """Ticks of the beat that are seen if `one` shows it."""
        parts = [(s.start, s.start + s.duration) for s in self._begun[one.name].get(number, ())]
        if self.shown and self.shown[-1].rendition is one:
            parts.append((self.shown[-1].segment.start, self.shown[-1].end))
        return sum(max(0, min(b, end) - max(a, start)) for a, b in parts)
