"""Which rung of the ladder a room is on, and why, in the words that its page and its teacher see.

A rung names what is received, not what is wanted: `full`, `medium`, `small` (video), `stills`
(voice, still pictures, slides), `voice` (voice and slides), `catch-up` (nothing live: the room
watches the recording, late). Pure; bit/s, seconds, fractions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from relay.sfu.allocation import STILLS_LEAST, stills_bitrate

FULL: Final = "full"
MEDIUM: Final = "medium"
SMALL: Final = "small"
STILLS: Final = "stills"
VOICE_ONLY: Final = "voice"
CATCH_UP: Final = "catch-up"

# bit/s of the thinnest voice on the wire.
_VOICE: Final = 30_000.0

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


def below_video(stills: float) -> str:
    """The rung of a room without moving pictures that has `stills` bit/s for still ones."""
    return STILLS if stills >= STILLS_LEAST else VOICE_ONLY


def first_rung(bitrate: float) -> Rung:
    """What a room with a link of `bitrate` bit/s, for all that is known, has while it connects."""
    stills = stills_bitrate(bitrate - _VOICE)
    return Rung(below_video(stills), STARTING, bitrate, stills_bitrate=stills)
