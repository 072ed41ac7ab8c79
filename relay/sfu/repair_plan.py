"""What one viewer's link needs against loss: redundant voice, a delay of playing, repair packets.

The rules that turn a measured link into these three, with their hold-offs. Resends cost least and
mend bursts, so the delay is chosen for them first; the voice is made redundant where that is
affordable, since it also helps who cannot wait; pictures get repair packets where resends come too
late. Not here: measuring, building, sending, the rest of the budget (selection). Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from relay.media import fec
from relay.media.playout import MOST_MS, PlayoutDelay

# Loss from which the voice carries one, two earlier frames; half of it, and it is less again. Where
# one costs next to nothing, it does so from the least loss on.
DEPTH_LOSS: Final = (0.008, 0.05)
_FIRST_LOSS: Final = 0.002
_NEXT_TO_NOTHING: Final = 0.05
# Of what the link takes, for all earlier frames together. With 24 kbit/s of voice that is one from
# 120 kbit/s on and two from 240 kbit/s: below, resends must do.
DEPTH_SHARE: Final = 0.2
# Of what the link takes, for repair packets; and what pictures must have before they get any.
FEC_SHARE: Final = 0.25
FEC_LEAST: Final = 150_000.0
# Where pictures press against what the link takes, it may take less at any moment, and what is
# under way then waits: about so long, milliseconds, is better waited for at all times.
TIGHT_MS: Final = 650
# A depth that was needed is kept so long, seconds: losses come in showers.
_HOLD: Final = 10.0


@dataclass(frozen=True, slots=True)
class LinkState:
    """bitrate: bit/s that it takes. loss: 0 to 1. burst: packets lost in a row, on average.

    rtt, jitter: seconds. tight: the lesson has more to offer than it takes, for all that is known.
    upstream_ms: what relays above need to mend what they lose, milliseconds.
    """

    bitrate: float
    loss: float
    rtt: float
    jitter: float = 0.0
    burst: float = 1.0
    tight: bool = False
    upstream_ms: int = 0


class RepairPlan:
    """One viewer's. red_depth: 0 to 2. playout: milliseconds. protection: None for none."""

    __slots__ = ("_delay", "_needed_at", "playout", "protection", "red_depth")

    def __init__(self, now: float) -> None:
        self.red_depth = 0
        self.playout = 0
        self.protection: fec.Protection | None = None
        self._delay = PlayoutDelay(now)
        self._needed_at = now

    def update(
        self, link: LinkState, voice: float, now: float, *, most_delay: int = MOST_MS
    ) -> bool:
        """Look at the link, about once a second; whether anything is to change.

        voice: bit/s of the voice's frames alone. most_delay: milliseconds, see PlayoutDelay.
        """
        before = (self.red_depth, self.playout, self.protection)
        least = max(link.upstream_ms, TIGHT_MS if link.tight else 0)
        self.playout = self._delay.update(
            link.rtt, link.jitter, link.loss, now, most_delay, least=least
        )
        self._choose_depth(link, voice, now)
        self.protection = None
        if link.bitrate >= FEC_LEAST:
            self.protection = fec.protection(
                link.loss, link.burst, link.rtt, self.playout / 1e3, FEC_SHARE
            )
        return before != (self.red_depth, self.playout, self.protection)

    def _choose_depth(self, link: LinkState, voice: float, now: float) -> None:
        affordable = int(DEPTH_SHARE * link.bitrate / voice) if voice > 0.0 else 0
        cheap = voice <= _NEXT_TO_NOTHING * link.bitrate
        limits = (_FIRST_LOSS if cheap else DEPTH_LOSS[0], DEPTH_LOSS[1])
        wanted = sum(link.loss >= limit for limit in limits)
        kept = sum(link.loss >= limit / 2 for limit in limits)
        if wanted >= self.red_depth:
            self.red_depth, self._needed_at = wanted, now
        elif kept >= self.red_depth:
            self._needed_at = now
        elif now - self._needed_at >= _HOLD:
            self.red_depth, self._needed_at = max(kept, wanted), now
        # What the link no longer takes is given up at once.
        self.red_depth = min(self.red_depth, affordable)
