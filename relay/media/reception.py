"""What RTCP reports say of a received stream (RFC 3550 6.4, A.1, A.3, A.8).

Here: counting one received stream to make its report blocks. Not here: RTCP bytes (rtcp,
rtcp_build), when to report, sent streams (a relay counts those once per group of viewers).
`now` is any steady clock in seconds; NTP times are the caller's.
"""

from __future__ import annotations

from typing import Final

from relay.media import ntp
from relay.media.rtcp import ReportBlock, SenderReport
from relay.media.seqno import delta32

# RFC 3550 A.1. There is no probation: streams are announced in signalling.
MAX_DROPOUT: Final = 3000
MAX_MISORDER: Final = 100


class ReceptionStats:
    """One received stream (one SSRC)."""

    __slots__ = (
        "_arrived",
        "_bad_seq",
        "_base_seq",
        "_cycles",
        "_expected_prior",
        "_last_sr",
        "_last_sr_at",
        "_max_seq",
        "_received_prior",
        "_timestamp",
        "bytes_received",
        "clock_rate",
        "jitter",
        "received",
        "ssrc",
    )

    def __init__(self, ssrc: int, clock_rate: int) -> None:
        self.ssrc = ssrc
        self.clock_rate = clock_rate
        self.jitter = 0.0
        """RTP timestamp units (A.8)."""
        self.received = 0
        self.bytes_received = 0
        self._base_seq = -1
        self._max_seq = 0
        self._cycles = 0
        self._bad_seq = -1
        self._expected_prior = 0
        self._received_prior = 0
        self._arrived = 0.0
        self._timestamp = 0
        self._last_sr = 0
        self._last_sr_at = 0.0

    def receive(self, seq: int, timestamp: int, now: float, size: int = 0) -> None:
        """Count one packet, repairs by RTX under their original number included."""
        self.bytes_received += size
        if self._base_seq < 0:
            self._restart(seq)
        else:
            ahead = seq - self._max_seq & 0xFFFF
            if ahead < MAX_DROPOUT:
                if seq < self._max_seq:
                    self._cycles += 0x10000
                self._max_seq = seq
            elif ahead <= 0x10000 - MAX_MISORDER:
                if seq != self._bad_seq:
                    self._bad_seq = seq + 1 & 0xFFFF
                    return
                # Two packets in a row from elsewhere: the sender started anew.
                self._restart(seq)
        if self.received:
            moved = delta32(timestamp, self._timestamp)
            difference = abs((now - self._arrived) * self.clock_rate - moved)
            self.jitter += (difference - self.jitter) / 16
        self.received += 1
        self._arrived = now
        self._timestamp = timestamp

    def _restart(self, seq: int) -> None:
        self._base_seq = self._max_seq = seq
        self._bad_seq = -1
        self._cycles = self.received = self._received_prior = self._expected_prior = 0

    @property
    def expected(self) -> int:
        """Packets sent as far as the numbers tell."""
        if self._base_seq < 0:
            return 0
        return self._cycles + self._max_seq - self._base_seq + 1

    @property
    def lost(self) -> int:
        """Packets not received; negative when there were more repeats than losses."""
        return self.expected - self.received

    def receive_sender_report(self, report: SenderReport, now: float) -> None:
        """Remember what the next blocks have to echo."""
        self._last_sr = ntp.middle(report.ntp_raw)
        self._last_sr_at = now

    def report(self, now: float) -> ReportBlock | None:
        """The block to send now, beginning a new interval; None before the first packet."""
        if self._base_seq < 0:
            return None
        expected = self.expected
        interval = expected - self._expected_prior
        lost = interval - (self.received - self._received_prior)
        self._expected_prior = expected
        self._received_prior = self.received
        return ReportBlock(
            self.ssrc,
            lost / interval if interval > 0 and lost > 0 else 0.0,
            min(0x7FFFFF, max(-0x800000, expected - self.received)),
            self._cycles + self._max_seq & 0xFFFFFFFF,
            int(self.jitter),
            self._last_sr,
            ntp.short(now - self._last_sr_at) if self._last_sr else 0,
        )
