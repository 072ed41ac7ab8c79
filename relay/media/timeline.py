"""When was an RTP timestamp captured? One clock for all of a publisher's tracks.

Sender reports tie a track's RTP timestamps to the publisher's own clock (RFC 3550 §6.4.1). The
difference between that clock and the relay's is measured once per publisher and then kept, so
that voice, camera and screen line up exactly however the network jitters. Until a track's first
report its packets' arrival serves. Pure; times are seconds on the relay's clock (Unix time).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from relay.media.seqno import delta32

# A new anchor is announced only when it moves a timestamp by more: sound cards drift by 50 ppm,
# 5 ms in 100 s, and people notice a voice 40 ms off.
TOLERANCE: Final = 0.005
# The publisher's clock was set meanwhile: measure the difference again.
CLOCK_STEP: Final = 1.0


@dataclass(frozen=True, slots=True)
class Anchor:
    """`rtp_timestamp` (32 bits) was captured at `wall`."""

    rtp_timestamp: int
    wall: float


class PublisherClock:
    """The difference between a publisher's NTP clock and ours."""

    __slots__ = ("_offset",)

    def __init__(self) -> None:
        self._offset: float | None = None

    def to_wall(self, ntp: float, now: float) -> float:
        """Our time for the publisher's Unix time `ntp`, read from a report arriving `now`.

        The first report's transit time stays in the result for good: it delays all tracks
        alike.
        """
        if self._offset is None or abs(now - ntp - self._offset) > CLOCK_STEP:
            self._offset = now - ntp
        return ntp + self._offset


class TrackTimeline:
    """One track's map from RTP timestamps to capture time."""

    __slots__ = ("_exact", "anchor", "rate")

    def __init__(self, clock_rate: int) -> None:
        self.rate = clock_rate
        self._exact = False
        self.anchor: Anchor | None = None

    def receive_packet(self, rtp_timestamp: int, now: float) -> Anchor | None:
        """The first packet anchors provisionally; returns the anchor if it is new."""
        if self.anchor is not None:
            return None
        self.anchor = Anchor(rtp_timestamp, now)
        return self.anchor

    def receive_report(
        self, rtp_timestamp: int, ntp: float, clock: PublisherClock, now: float
    ) -> Anchor | None:
        """A sender report; returns the new anchor if it moves capture times noticeably."""
        anchor = Anchor(rtp_timestamp, clock.to_wall(ntp, now))
        if (
            self._exact
            and self.anchor is not None
            and abs(self.wall(rtp_timestamp) - anchor.wall) <= TOLERANCE
        ):
            return None
        self._exact = True
        self.anchor = anchor
        return anchor

    def wall(self, rtp_timestamp: int) -> float:
        """Capture time of a timestamp within half a cycle (13 hours at 90 kHz) of the anchor."""
        anchor = self.anchor
        assert anchor is not None, "no packet yet"
        return anchor.wall + delta32(rtp_timestamp, anchor.rtp_timestamp) / self.rate

    def slot_offset(self) -> int:
        """What to add to an RTP timestamp to place it on the slots' common timeline.

        That timeline is Unix time × clock rate, cut to 32 bits: the same for every layer, for a
        publisher that starts again, and for every relay down the tree.
        """
        anchor = self.anchor
        assert anchor is not None, "no packet yet"
        return (round(anchor.wall * self.rate) - anchor.rtp_timestamp) & 0xFFFFFFFF
