"""When was an RTP timestamp captured? One clock for all of a publisher's tracks.

Sender reports tie a track's RTP timestamps to the publisher's own clock (RFC 3550 §6.4.1). The
difference between that clock and the relay's is measured once per publisher and then only nudged,
so that voice, camera and screen line up exactly however the network jitters, and hours of two
clocks' drift do not pile up. Until a track's first report its packets' arrival serves. Of packets
it is the promptest that tells: any other one waited somewhere on its way, at a teacher's busy
computer or on the link. Only the relay that the publisher sends to measures; those below are told
(`told_timeline`). Pure; times are seconds on the relay's clock (Unix time).
"""

from __future__ import annotations

from collections import deque
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
# So likewise for the newest packet of a stream that is not sent (a screen that was stopped, a layer
# that the teacher's link never lets through): after that nothing is measured by it.
SILENT: Final = 600.0
# Recorded voice has no holes, so its time moves by whole packets: put in, or left out. 20 ms is
# what browsers send, and every Opus mode has frames of it.
VOICE_STEP: Final = 0.020
# Of a step, before one is made: no to and fro when reports jitter, and with it voice stays within
# 40 ms of the pictures.
STEP_SHARE: Final = 0.75
# The first report may re-time what came so shortly before it: a first packet's arrival says when it
# was captured but for what its encoder, another one for each layer, took to begin.
TIE_SECONDS: Final = 1.0
# Without a report by then (a sound card's may take some seconds), the promptest packet re-times
# what came: still within those, also where packets are a tenth of a second apart.
TIE_ARRIVALS: Final = 0.8
# Anchors remembered: packets are timed by the one that was in force for them, however late they
# come, and a relay below may ask after an outage of some seconds.
ANCHORS_KEPT: Final = 16


@dataclass(frozen=True, slots=True)
class Anchor:
    """`rtp_timestamp` (32 bits) was captured at `wall`, a whole number of ticks of the track.

    since: the RTP timestamp from which on packets are timed by it, whenever they come; None: those
    that come from now on, and all of a track that had no anchor.
    """

    rtp_timestamp: int
    wall: float
    since: int | None = None


class PublisherClock:
    """The difference between a publisher's NTP clock and ours."""

    __slots__ = ("_late_since", "_offset")

    def __init__(self) -> None:
        self._offset: float | None = None
        self._late_since: float | None = None

    def known_wall(self, ntp: float) -> float | None:
        """Our time for the publisher's Unix time `ntp`, None before the first measurement."""
        return None if self._offset is None else ntp + self._offset

    def to_wall(self, ntp: float, measured: float, now: float) -> float:
        """Our time for the publisher's Unix time `ntp`.

        measured: our clock minus the publisher's as a track's promptest packet since its last
        report shows it, its time under way included. That may be too much (a stalled link), never
        too little: so a smaller value is believed at once, a much larger one only when it stays.
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
    latest: the newest tie between timestamp and time, at most the tolerance from `anchor`'s.
    ahead: what to add to our clock for the clock that anchors speak of; 0 where it is ours.
    """

    __slots__ = (
        "_announced_at",
        "_exact",
        "_first",
        "_newest",
        "_prompt",
        "_recent",
        "_step",
        "_tie_at",
        "ahead",
        "anchor",
        "latest",
        "rate",
    )

    def __init__(self, clock_rate: int, step: float = 0.0) -> None:
        """step: seconds; after the first anchor, recorded time moves by multiples of it alone
        (`VOICE_STEP`), 0 where it may move freely."""
        self.rate = clock_rate
        self.ahead = 0.0
        self._step = step
        self._exact = False
        self._first: tuple[int, float] | None = None
        self._announced_at = 0.0
        self._newest: tuple[int, float] | None = None
        self._prompt: tuple[int, float] | None = None
        """Of the packets since the last report, the one that took least."""
        self._tie_at: float | None = None
        self._recent: deque[Anchor] = deque(maxlen=ANCHORS_KEPT)
        self.anchor: Anchor | None = None
        self.latest: Anchor | None = None

    @property
    def anchors(self) -> tuple[Anchor, ...]:
        """The last ones announced, oldest first: what a relay below has to be told."""
        return tuple(self._recent)

    def receive_packet(self, rtp_timestamp: int, now: float) -> Anchor | None:
        """The first packet anchors provisionally, the promptest of the first ones until a report
        knows better; returns the anchor if it is new."""
        prompt = self._prompt
        if prompt is None or now - prompt[1] < delta32(rtp_timestamp, prompt[0]) / self.rate:
            self._prompt = (rtp_timestamp, now)
        newest = self._newest
        is_newer = newest is None or delta32(rtp_timestamp, newest[0]) > 0
        if is_newer or (newest is not None and now - newest[1] > SILENT):
            self._newest = (rtp_timestamp, now)
        if self.anchor is None:
            self._first = (rtp_timestamp, now)
            self._tie_at = now + TIE_ARRIVALS
            self.latest = Anchor(rtp_timestamp, now)
            return self._announce(rtp_timestamp, now, now)
        if self._tie_at is not None and now >= self._tie_at:
            return self._tie(now)
        if now - self._announced_at > ANCHOR_AGE:
            wall = self.wall(rtp_timestamp)
            self.latest = Anchor(rtp_timestamp, wall)
            return self._announce(rtp_timestamp, self._moved(rtp_timestamp, wall), now)
        return None

    def _tie(self, now: float) -> Anchor | None:
        """The promptest of the first packets re-times them all, if the first was much later."""
        self._tie_at = None
        assert self.anchor is not None
        assert self._first is not None
        assert self._prompt is not None
        if now - self._first[1] > TIE_SECONDS:
            return None
        captured, arrived = self._prompt
        error = self._wall(self.anchor, captured) - arrived
        if error <= (STEP_SHARE * self._step or TOLERANCE):
            return None
        self.latest = Anchor(captured, arrived)
        return self._announce(captured, self._moved(captured, arrived), now, self._first[0])

    def receive_report(
        self, rtp_timestamp: int, ntp: float, clock: PublisherClock, now: float
    ) -> Anchor | None:
        """A sender report; returns the new anchor if it moves capture times noticeably."""
        exact, self._exact = self._exact, True
        # Measured at a packet and not at the report: some senders' reports speak of the time of
        # their last packet, however long ago, and a report may be late by itself.
        captured, arrived = self._prompt or self._newest or (rtp_timestamp, now)
        self._prompt = self._tie_at = None
        wall = None
        if now - arrived > SILENT:
            # Of a stream that is reported on and not sent, the others know the time.
            wall = clock.known_wall(ntp)
            captured, arrived = rtp_timestamp, now
        if wall is None:
            measured = arrived - ntp - delta32(captured, rtp_timestamp) / self.rate
            wall = clock.to_wall(ntp, measured, now)
        self.latest = Anchor(rtp_timestamp, wall)
        anchor = self.anchor
        if anchor is not None:
            error = abs(wall - self._wall(anchor, rtp_timestamp))
            tolerated = STEP_SHARE * self._step if self._step else TOLERANCE if exact else -1.0
            if error <= tolerated:
                return None
            wall = self._moved(rtp_timestamp, wall)
        since = None
        if not exact and self._first is not None and now - self._first[1] <= TIE_SECONDS:
            since = self._first[0]
        return self._announce(rtp_timestamp, wall, now, since)

    def _moved(self, rtp_timestamp: int, wall: float) -> float:
        """Where `wall` may be announced: with steps, whole ones from the line so far."""
        if not self._step or self.anchor is None:
            return wall
        line = self._wall(self.anchor, rtp_timestamp)
        steps = round((wall - line) / self._step)
        return line + steps * self._step

    def _announce(
        self, rtp_timestamp: int, wall: float, now: float, since: int | None = None
    ) -> Anchor:
        """Whole ticks, so that no sum of times comes out differently at another relay."""
        if since is None and self.anchor is not None and self._newest is not None:
            since = (self._newest[0] + 1) & 0xFFFFFFFF
        self.anchor = Anchor(rtp_timestamp, round(wall * self.rate) / self.rate, since)
        self._announced_at = now
        self._recent.append(self.anchor)
        return self.anchor

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
