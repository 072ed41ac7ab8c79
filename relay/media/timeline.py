"""When was an RTP timestamp captured? One clock for all of a publisher's tracks.

Sender reports tie a track's RTP timestamps to the publisher's own clock (RFC 3550 §6.4.1). The
difference between that clock and the relay's is measured once per publisher and then only nudged,
so that voice, camera and screen line up exactly however the network jitters, and hours of two
clocks' drift do not pile up. Until a track's first report its packets' arrival serves. Pure; times
are seconds on the relay's clock (Unix time).
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
# A link may stall for seconds and then deliver everything late; a clock that was set stays set.
STEP_PROOF: Final = 15.0
# What one report may move the difference of the clocks: enough for clocks that drift apart by
# 100 ppm at one report a second, too little for a late report to be noticed.
NUDGE_SHARE: Final = 0.01
NUDGE_MAX: Final = 0.0002
# An anchor is announced anew before its timestamps could wrap (half a cycle: 6.6 h at 90 kHz).
ANCHOR_AGE: Final = 600.0


@dataclass(frozen=True, slots=True)
class Anchor:
    """`rtp_timestamp` (32 bits) was captured at `wall`."""

    rtp_timestamp: int
    wall: float


class PublisherClock:
    """The difference between a publisher's NTP clock and ours."""

    __slots__ = ("_late_since", "_offset")

    def __init__(self) -> None:
        self._offset: float | None = None
        self._late_since: float | None = None

    def to_wall(self, ntp: float, measured: float, now: float) -> float:
        """Our time for the publisher's Unix time `ntp`.

        measured: our clock minus the publisher's as one track's newest packet shows it, its time
        under way included. That may be too much (a stalled link), never too little: so a smaller
        value is believed at once, a much larger one only when it stays.
        """
        if self._offset is None or measured < self._offset - CLOCK_STEP:
            self._offset, self._late_since = measured, None
        elif measured > self._offset + CLOCK_STEP:
            if self._late_since is None:
                self._late_since = now
            elif now - self._late_since > STEP_PROOF:
                self._offset, self._late_since = measured, None
        else:
            self._late_since = None
            nudge = NUDGE_SHARE * (measured - self._offset)
            self._offset += min(NUDGE_MAX, max(-NUDGE_MAX, nudge))
        return ntp + self._offset


class TrackTimeline:
    """One track's map from RTP timestamps to capture time.

    anchor: the last one announced, by which the recording is timed; None before the first packet.
    latest: the newest tie between timestamp and time, at most TOLERANCE from `anchor`'s.
    """

    __slots__ = ("_announced_at", "_exact", "_newest", "anchor", "latest", "rate")

    def __init__(self, clock_rate: int) -> None:
        self.rate = clock_rate
        self._exact = False
        self._announced_at = 0.0
        self._newest: tuple[int, float] | None = None
        self.anchor: Anchor | None = None
        self.latest: Anchor | None = None

    def receive_packet(self, rtp_timestamp: int, now: float) -> Anchor | None:
        """The first packet anchors provisionally; returns the anchor if it is new."""
        newest = self._newest
        if newest is None or delta32(rtp_timestamp, newest[0]) > 0:
            self._newest = (rtp_timestamp, now)
        if self.anchor is None:
            return self._announce(Anchor(rtp_timestamp, now), now)
        if now - self._announced_at > ANCHOR_AGE:
            return self._announce(Anchor(rtp_timestamp, self.wall(rtp_timestamp)), now)
        return None

    def receive_report(
        self, rtp_timestamp: int, ntp: float, clock: PublisherClock, now: float
    ) -> Anchor | None:
        """A sender report; returns the new anchor if it moves capture times noticeably."""
        exact, self._exact = self._exact, True
        # Measured at the newest packet and not at the report: some senders' reports speak of the
        # time of their last packet, however long ago, and a report may be late by itself.
        captured, arrived = self._newest or (rtp_timestamp, now)
        measured = arrived - ntp - delta32(captured, rtp_timestamp) / self.rate
        self.latest = Anchor(rtp_timestamp, clock.to_wall(ntp, measured, now))
        anchor = self.anchor
        if (
            exact
            and anchor is not None
            and abs(self._wall(anchor, rtp_timestamp) - self.latest.wall) <= TOLERANCE
        ):
            return None
        return self._announce(self.latest, now)

    def _announce(self, anchor: Anchor, now: float) -> Anchor:
        self.anchor = self.latest = anchor
        self._announced_at = now
        return anchor

    def wall(self, rtp_timestamp: int) -> float:
        """Capture time of a timestamp near the newest ones (half a cycle is 6.6 h at 90 kHz)."""
        assert self.latest is not None, "no packet yet"
        return self._wall(self.latest, rtp_timestamp)

    def _wall(self, anchor: Anchor, rtp_timestamp: int) -> float:
        return anchor.wall + delta32(rtp_timestamp, anchor.rtp_timestamp) / self.rate

    def slot_offset(self) -> int:
        """What to add to an RTP timestamp to place it on the slots' common timeline.

        That timeline is Unix time × clock rate, cut to 32 bits: the same for every layer, for a
        publisher that starts again, and for every relay down the tree.
        """
        anchor = self.anchor
        assert anchor is not None, "no packet yet"
        return (round(anchor.wall * self.rate) - anchor.rtp_timestamp) & 0xFFFFFFFF
