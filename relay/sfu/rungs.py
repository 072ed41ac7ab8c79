"""Which rung of the ladder a room is on, and why, in the words that its page and its teacher see.

A rung names what is received, not what is wanted: `full`, `medium`, `small` (video), `stills`
(voice, still pictures, slides), `voice` (voice and slides). Pure; bit/s, seconds, fractions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

FULL: Final = "full"
MEDIUM: Final = "medium"
SMALL: Final = "small"
STILLS: Final = "stills"
VOICE_ONLY: Final = "voice"

# Why it is no better. SOURCE: the teacher sends no more. STARTING: the link is not known yet.
LINK: Final = "link"
LOSS: Final = "loss"
QUEUE: Final = "queue"
SOURCE: Final = "source"
STARTING: Final = "starting"
NO_FEEDBACK: Final = "no-feedback"


@dataclass(frozen=True, slots=True)
class Rung:
    """What one viewer receives. bitrate: what its link takes; stills_bitrate: of that, for stills.

    loss: fraction of packets lost. round_trip, playout: seconds; playout is how long the page is
    to hold media back, so that repairs come in time.
    """

    rung: str
    reason: str
    bitrate: float = 0.0
    loss: float = 0.0
    round_trip: float = 0.0
    stills_bitrate: float = 0.0
    playout: float = 0.0


def name(place: int, places: int) -> str:
    """The rung of the layer at `place` (0 is the smallest picture) of `places` layers."""
    from_top = places - 1 - place
    return (FULL, MEDIUM, SMALL)[min(from_top, 2)]
