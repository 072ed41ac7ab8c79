"""When to send more than the media needs, to learn whether the link takes more, and how much.

Lives here: rounds of padding and the pauses between them, which grow while rounds fail. Must not
live here: judging what came of a round; that is `bandwidth`, which sees the packets like any
others. RFC 8298 §4.1.2 and draft-ietf-rmcat-gcc-02 leave probing open. Pure; seconds, bit/s.
"""

from __future__ import annotations

from typing import Final

# Of the estimate: what a probe may add. On a slow link the queue of a probe is in the voice's way,
# on any link where it failed before: then just enough to show that it takes more now.
SHARE: Final = 0.18
SHARE_FAST: Final = 0.5
FAST: Final = 1_000_000.0
# A round lasts this long and a round trip, so that its answer comes while it still runs.
ROUND: Final = 0.5
PAUSE_FIRST: Final = 0.3
PAUSE: Final = 1.0
PAUSE_MOST: Final = 15.0
# While the link has lately taken more than it does now: it may do so again at any moment.
PAUSE_HOPEFUL: Final = 4.0
# A round that showed nothing new where it is known what the link takes: the next is as idle.
IDLE: Final = 1.5
# Media that uses so much of the estimate is a probe of its own.
FILLS: Final = 0.95


class Probing:
    """One viewer's probes."""

    __slots__ = ("_before", "_from", "_most", "_pause", "_until")

    def __init__(self) -> None:
        self._from = -1e18
        self._until = -1e18
        self._pause = self._before = PAUSE_FIRST
        self._most = PAUSE_MOST

    def rate(
        self,
        bitrate: float,
        acknowledged: float,
        rtt: float,
        now: float,
        *,
        failed: bool,
        sure: bool = False,
    ) -> float:
        """bit/s to add now; call only while the link is clean and more is wanted.

        failed: it is remembered where the link pushed back. sure: and a queue told it.
        """
        if now >= self._until + self._pause:
            if acknowledged >= FILLS * bitrate:
                return 0.0
            self._from = now
            self._until = now + ROUND + rtt
            self._before = self._pause
            if sure:
                self._pause = min(max(self._pause * IDLE, PAUSE), self._most)
        if now >= self._until:
            return 0.0
        return (SHARE_FAST if bitrate >= FAST and not failed else SHARE) * bitrate

    def failed(self, rtt: float, now: float, *, hopeful: bool) -> None:
        """A queue or loss of ours was seen: if a round may have made it, wait longer.

        hopeful: the link has lately taken more than it does now.
        """
        self._most = PAUSE_HOPEFUL if hopeful else PAUSE_MOST
        if now - self._until < 2 * rtt + ROUND and self._from > 0.0:
            self._pause = max(self._before * 2, self._pause, PAUSE)
        self._pause = min(self._pause, self._most)
        self._until = min(self._until, now)

    def succeeded(self) -> None:
        """The link was seen to take more than it was known to."""
        self._pause = PAUSE
