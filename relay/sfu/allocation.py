"""What of a lesson one viewer is to receive, within what its link takes.

Voice first and never starved, then still pictures and pen, then the screen, then the camera. A
screen is sharp before it moves, a camera moves before it is large. Only arithmetic and hold-off
against flapping here; which layer a leg moves to, and how, is `selection`'s and `joining`'s. All
rates are bit/s on the wire, headers and tags included. Pure; seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

# A layer's rate is an average: so much above it must fit before it is chosen anew. Of a larger
# picture less, since its rate scatters less.
MARGIN: Final = 1.1
MARGIN_LARGE: Final = 1.03
LARGE: Final = 800_000.0
# And after a step up that failed: what comes and goes is worse than what stays small.
MARGIN_AGAIN: Final = 1.3
# With so much of what a source has to offer, everything of it is chosen and stays.
ENOUGH: Final = MARGIN * 1.1
# With so many times what a step takes, it waits for no hold-off: more than MARGIN_AGAIN, or that
# would never make anybody wait.
AMPLE: Final = 1.5
FIRST_HOLD: Final = 2.0
MAX_HOLD: Final = 60.0
# A step up that does not show as congestion for so long has succeeded.
PROOF: Final = 6.0

# Voice. A room at or below `THIN_BELOW` gets the voice that is made for such links, until it has
# more than `THIN_UNTIL`.
THIN_BELOW: Final = 100_000.0
THIN_UNTIL: Final = 130_000.0

# Still pictures: below the least a face would be older than it should be, and the voice waits
# behind it; a slide may take its time. Above the most nobody sees a difference.
STILLS_LEAST: Final = 12_000.0
SLIDES_LEAST: Final = 3_000.0
STILLS_MOST: Final = 32_000.0
# Of what the voice leaves, while one is sent, which is for a second or two of a beat; the rest is
# for pen strokes, events and resends.
STILLS_SHARE: Final = 0.8


@dataclass(frozen=True, slots=True)
class Option:
    """One way to send a video source: `layer` index, highest temporal id, bit/s.

    whole: no temporal layer is left out.
    """

    layer: int
    temporal: int
    bitrate: float
    whole: bool = True


class HoldOff:
    """When a viewer may step up; one per viewer. A step that failed makes the next one wait."""

    __slots__ = ("changed_at", "forgiven_at", "hold", "tried_at")

    def __init__(self) -> None:
        self.hold = FIRST_HOLD
        self.changed_at = self.forgiven_at = -1e9
        self.tried_at: float | None = None

    def may_step_up(self, now: float) -> bool:
        """Whether enough time has gone by since the last change or congestion."""
        return now - self.changed_at >= self.hold

    @property
    def has_failed(self) -> bool:
        """Whether the last step up was one too many, and none has succeeded since."""
        return self.hold > FIRST_HOLD

    def stepped_up(self, now: float) -> None:
        """A step up begins."""
        self.changed_at = now
        self.tried_at = now

    def still_waiting(self, now: float) -> None:
        """The step waits for the beat: only what flows can prove anything."""
        if self.tried_at is not None:
            self.tried_at = now

    def congested(self, now: float) -> None:
        """The link pushed back: if it was our step, wait twice as long before the next one."""
        if self.tried_at is not None and now - self.tried_at < PROOF:
            self.hold = min(self.hold * 2, MAX_HOLD)
            self.tried_at = None
        self.changed_at = now

    def forgive(self, now: float) -> None:
        """The link was away and is back: no step of ours was to blame."""
        self.hold, self.changed_at, self.tried_at = FIRST_HOLD, -1e9, None
        self.forgiven_at = now

    def handle_timer(self, now: float) -> None:
        """A step that lasted has succeeded."""
        if self.tried_at is not None and now - self.tried_at >= PROOF:
            self.tried_at = None
            self.hold = FIRST_HOLD


def is_thin(estimate: float, before: bool) -> bool:
    """Whether a link of `estimate` bit/s gets the low-rate voice; before: whether it has it now."""
    return estimate <= (THIN_UNTIL if before else THIN_BELOW)


def frames_of(bitrate: float, *, thin: bool) -> float:
    """Of a voice's bit/s on the wire, those of its frames alone."""
    # Of a packet of 20 ms at 32 kbit/s headers are 44 %, of one of 60 ms at 20 kbit/s 30 %.
    return bitrate * (0.70 if thin else 0.56)


def margin(bitrate: float, *, again: bool = False) -> float:
    """What must fit of a layer of `bitrate` bit/s before it is chosen anew, as a factor.

    again: a step up failed before.
    """
    if bitrate >= LARGE:
        return MARGIN_LARGE
    return MARGIN_AGAIN if again else MARGIN


def choose(
    options: Sequence[Option], budget: float, *, sharp: bool, again: bool = False
) -> Option | None:
    """The best option that fits `budget` bit/s, None when none does.

    options: by layer, then temporal id, both rising. sharp: a large picture that hardly moves is
    better than a small one that does, as on a screen; else only the smallest picture is ever sent
    with less than all its frames. again: a step up failed before.
    """
    best: Option | None = None
    smallest = options[0].layer if options else 0
    for option in options:
        if option.bitrate * margin(option.bitrate, again=again) <= budget and (
            sharp or option.whole or option.layer == smallest
        ):
            best = option
    return best


def stills_bitrate(budget: float) -> float:
    """bit/s for still pictures out of the `budget` that the voice leaves, 0 for none.

    Below `STILLS_LEAST` they are for slides alone.
    """
    share = budget * STILLS_SHARE
    return 0.0 if share < SLIDES_LEAST else min(share, STILLS_MOST)


def next_step(options: Sequence[Option], current: Option | None) -> Option | None:
    """The option one picture size above `current` (or the first one), None at the top.

    For a viewer whose link can only be known by trying. Steps go by whole layers: a temporal layer
    more is too little to be worth a try of its own.
    """
    for option in options:
        if current is None:
            return option
        if option.whole and (option.layer, option.temporal) > (current.layer, current.temporal):
            return option
    return None
