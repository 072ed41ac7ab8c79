"""What a room's link took when it was last here, so that it need not find out anew.

By the subject of the room's token, in memory; the service process keeps a copy on disk
(relay.web.kept_rates), since a relay may lose its power at any time. Must not live here: the
estimate itself (relay.media.bandwidth). Bit/s and seconds of Unix time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

    def known(self) -> dict[str, tuple[float, float]]:
        """By subject: bit/s and when that was noted, oldest first."""
        return dict(self._rates)

    def recall(self, known: Mapping[str, Sequence[float]], now: float) -> None:
        """Take over what was `known` before this process began; what was noted since stands.

        A clock that was wrong then may have noted it in the future: it is from now at the latest.
        """
        later, self._rates = self._rates, {}
        for subject, (bitrate, at) in known.items():
            self._rates[subject] = bitrate, min(at, now)
        for subject, noted in later.items():
            self._rates.pop(subject, None)
            self._rates[subject] = noted
        while len(self._rates) > ROOMS_MOST:
            del self._rates[next(iter(self._rates))]

    def start(self, subject: str, now: float) -> float:
        """What to begin with for `subject`, bit/s."""
        bitrate, at = self._rates.get(subject, (0.0, -KEEP_SECONDS))
        if now - at >= KEEP_SECONDS or not bitrate:
            return self._start
        return min(bitrate, MOST)
