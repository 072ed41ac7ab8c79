"""When the publisher is asked for keyframes: on the beat, and rarely besides.

The beat asks all layers of a simulcast source together, so that segments, joins and switches have
a common place to happen; a source with one encoding keeps its own rhythm. Between beats a layer is
asked at most once per interval, whatever the number of rooms, and only because something was lost
for all of them or because nothing decodable is cached. For what the beat would do of a layer that
it does not ask, that layer is asked as seldom as it. Pure; seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from relay.sfu.layer import Layer

# Shorter than this, a second request would only make the first keyframe's burst worse.
MIN_INTERVAL: Final = 2.0


class KeyframeSchedule:
    """One per lesson. beat: seconds between the requests to all layers."""

    def __init__(self, beat: float) -> None:
        self._beat = beat
        self._epoch: float | None = None
        self._next: float | None = None
        self._count = 1
        """Which beat `_next` is."""
        self.beats = 0
        self.extra = 0
        self.is_followed = False
        """Whether the beat is another relay's: nobody is asked on it, only when it comes is
        known."""

    def start(self, now: float) -> None:
        """The lesson's first media: beats are counted from here, across publisher restarts."""
        if self._epoch is None:
            self._epoch = now
            self._next = now + self._beat

    def seen(self, layer: Layer, now: float) -> None:
        """A keyframe of `layer` came: where the beat is another's, this is when it is."""
        if self.is_followed and layer.rid:
            self._epoch, self._next, self._count = now, now + self._beat, 1

    def handle_timer(self, layers: Iterable[Layer], now: float) -> list[Layer]:
        """Layers to ask now because a beat is due."""
        if self._next is None or now < self._next:
            return []
        assert self._epoch is not None
        # The count, not the division alone: that may end a hair below the whole number.
        self._count = max(self._count, int((now - self._epoch) / self._beat)) + 1
        self._next = self._epoch + self._count * self._beat
        if self.is_followed:
            return []
        asked = [
            layer
            for layer in layers
            if layer.rid and layer.is_video and layer.track.pli and layer.rate.is_active(now)
        ]
        if any(layer.origin is None for layer in asked):
            self.beats += 1
        for layer in asked:
            layer.keyframe_asked_at = now
        return asked

    def get_timer(self) -> float | None:
        """When the next beat is, seconds."""
        return self._next

    def ask(self, layers: Sequence[Layer], now: float, *, seldom: bool = False) -> list[Layer]:
        """Those of `layers` that may be asked out of turn now; they count as asked. seldom: no
        more often than on a beat."""
        interval = max(self._beat, MIN_INTERVAL) if seldom else MIN_INTERVAL
        allowed = [
            layer
            for layer in layers
            if layer.is_video and layer.track.pli and now - layer.keyframe_asked_at >= interval
        ]
        for layer in allowed:
            layer.keyframe_asked_at = now
            # The worker's keyframes of derived layers cost the publisher nothing.
            self.extra += layer.origin is None
        return allowed
