"""Which layer each of a viewer's slots receives, within what its link takes.

Voice first and always; then the screen, then the camera; within a source the lowest temporal
layer of the smallest picture first. A first, simple version: it never sends more than fits, tries
one step up when the link has been clean for a while, and waits longer after each step that
failed. Pure; bit/s and seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

# Headers, transport numbers and SRTP tags are in the rates already; this is for bursts.
MARGIN: Final = 1.1
FIRST_HOLD: Final = 3.0
MAX_HOLD: Final = 60.0
# A step that does not show as congestion for so long has succeeded.
PROOF: Final = 6.0


@dataclass(frozen=True, slots=True)
class Option:
    """One way to send a video source: `layer` index, highest temporal id, bit/s."""

    layer: int
    temporal: int
    bitrate: float


@dataclass(slots=True)
class Climber:
    """When a viewer may try more than its estimate allows; one per viewer."""

    hold: float = FIRST_HOLD
    changed_at: float = -1e9
    tried_at: float | None = None

    def may_try(self, clean_for: float, now: float) -> bool:
        """Whether a step up may be tried; `clean_for`: seconds since the last congestion."""
        return clean_for >= self.hold and now - self.changed_at >= self.hold

    def may_follow(self, now: float) -> bool:
        """Whether the estimate, which climbs only on a clean link, may be followed upwards."""
        return now - self.changed_at >= self.hold

    def stepped_up(self, now: float) -> None:
        """A step beyond the estimate begins."""
        self.changed_at = now
        self.tried_at = now

    def still_waiting(self, now: float) -> None:
        """The step waits for the beat: only what flows can prove anything."""
        if self.tried_at is not None:
            self.tried_at = now

    def congested(self, now: float) -> None:
        """The link pushed back: if it was our try, wait twice as long before the next one."""
        if self.tried_at is not None and now - self.tried_at < PROOF:
            self.hold = min(self.hold * 2, MAX_HOLD)
            self.tried_at = None
        self.changed_at = now

    def handle_timer(self, now: float) -> None:
        """A try that lasted has succeeded."""
        if self.tried_at is not None and now - self.tried_at >= PROOF:
            self.tried_at = None
            self.hold = FIRST_HOLD


def choose(options: Sequence[Option], budget: float) -> Option | None:
    """The best option that fits `budget` bit/s; options are ordered from least to most."""
    best: Option | None = None
    for option in options:
        if option.bitrate * MARGIN <= budget:
            best = option
    return best


def next_step(options: Sequence[Option], current: Option | None) -> Option | None:
    """The option one picture size above `current` (or the first one), None at the top.

    Steps go by whole layers: a temporal layer more is too little to be worth a try of its own.
    """
    if not options:
        return None
    if current is None:
        return options[0]
    for option in options:
        if option.layer > current.layer or (
            option.layer == current.layer and option.temporal > current.temporal
        ):
            top = [one for one in options if one.layer == option.layer]
            return top[-1]
    return None
