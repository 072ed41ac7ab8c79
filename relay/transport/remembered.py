"""What a room's link took when it was last here, so that it need not find out anew.

By the subject of the room's token, in memory only: a relay that begins again asks the links.
Must not live here: the estimate itself (relay.media.bandwidth). Bit/s and seconds.
"""

from __future__ import annotations

from typing import Final

# A link may have become worse since; what is missing is found within seconds.
SHARE: Final = 0.8
# More would not bring the first picture any sooner.
MOST: Final = 1_500_000.0
KEEP_SECONDS: Final = 7 * 86_400.0
ROOMS_MOST: Final = 5_000


class RememberedRates:
    """start: bit/s for rooms that were never here."""

    def __init__(self, start: float) -> None:
        self._start = start
        self._rates: dict[str, tuple[float, float]] = {}

    def note(self, subject: str, bitrate: float, now: float, *, limited: bool = True) -> None:
        """The link of `subject` takes `bitrate`; limited: and no more, for all that is known."""
        self._rates.pop(subject, None)
        self._rates[subject] = (bitrate * SHARE if limited else bitrate, now)
        if len(self._rates) > ROOMS_MOST:
            del self._rates[next(iter(self._rates))]

    def start(self, subject: str, now: float) -> float:
        """What to begin with for `subject`, bit/s."""
        bitrate, at = self._rates.get(subject, (0.0, -KEEP_SECONDS))
        if now - at >= KEEP_SECONDS or not bitrate:
            return self._start
        return min(bitrate, MOST)
