"""How much the worker may do with pictures, so that it never falls behind. PURE.

Lives here: which derived pictures a source gets, and when fewer of them are made. Must not live
here: codecs. The pictures of all sources share one thread, so one `Pace` speaks for all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from relay.sfu.derived import MEDIUM, SMALL

LATE: Final = 0.25  # s behind the source, from which on less is made
HOPELESS: Final = 1.0  # s behind, from which on frames are thrown away up to the next keyframe
SETTLE: Final = 1.0  # s before the next step down shows whether the last one helped
RECOVER: Final = 15.0  # s in time before a step up is tried
TOP: Final = 3
"""Steps: all, half the frames, a quarter of them, and that of the smallest picture alone."""


@dataclass(frozen=True, slots=True)
class Rung:
    """One derived encoding. lines: at most. bitrate: bit/s. rate: frames a second at most."""

    rid: str
    lines: int
    bitrate: int
    rate: float


CAMERA: Final = (Rung(SMALL, 180, 120_000, 15.0), Rung(MEDIUM, 360, 350_000, 15.0))
# Text must stay readable; what stands still costs next to nothing, so lines go before motion.
SCREEN: Final = (Rung(SMALL, 360, 120_000, 4.0), Rung(MEDIUM, 720, 350_000, 5.0))
# A picture hardly smaller than the source's is of no use beside it.
_WORTH: Final = 0.85


def rungs(source: str, height: int) -> tuple[Rung, ...]:
    """The encodings to make of a source whose pictures have `height` lines."""
    smallest, *larger = SCREEN if source == "screen" else CAMERA
    return (smallest, *(rung for rung in larger if rung.lines <= height * _WORTH))


def size(width: int, height: int, lines: int) -> tuple[int, int]:
    """Even sides of the picture scaled down to at most `lines` lines, upright ones included."""
    scale = min(1.0, lines / min(width, height))
    return max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2)


class Pace:
    """Tell it how late each frame is."""

    def __init__(self) -> None:
        self.step = 0
        """0 to TOP; how much less than all is made."""
        self._changed = -1e9
        self._late_at = -1e9

    def note(self, late: float, now: float) -> None:
        """A frame is about to be worked on, `late` seconds after it could have been."""
        if late > LATE:
            self._late_at = now
            if now - self._changed >= SETTLE and self.step < TOP:
                self.step += 1
                self._changed = now
        elif self.step and now - max(self._late_at, self._changed) >= RECOVER:
            self.step -= 1
            self._changed = now

    def is_hopeless(self, late: float) -> bool:
        """Whether to throw frames away up to the next keyframe."""
        return late > HOPELESS

    def makes(self, place: int) -> bool:
        """Whether the encoding at `place`, 0 for the smallest, is made at all now."""
        return place == 0 or self.step < TOP

    def interval(self, rung: Rung) -> float:
        """Seconds between the frames of an encoding."""
        return (1 << min(self.step, 2)) / rung.rate
