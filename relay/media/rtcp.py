"""RTCP packets as values (RFC 3550 6, RFC 4585, RFC 5104, RFC 3611).

Here: one small type for each packet we act on, and the numbers that name types and formats. Bytes
are read in rtcp_parse and written in rtcp_build; transport-wide feedback is in twcc. Not here:
when to send what, encryption.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from relay.media import ntp, twcc

SR: Final = 200
RR: Final = 201
SDES: Final = 202
BYE: Final = 203
RTPFB: Final = 205
PSFB: Final = 206
XR: Final = 207

FMT_NACK: Final = 1
FMT_TWCC: Final = 15
FMT_PLI: Final = 1
FMT_FIR: Final = 4
FMT_AFB: Final = 15

XR_RRTR: Final = 4
XR_DLRR: Final = 5


@dataclass(slots=True)
class ReportBlock:
    """What a receiver says of one stream (RFC 3550 6.4.1)."""

    ssrc: int
    fraction_lost: float
    """0 to 1, in steps of 1/256, since the report before."""
    cumulative_lost: int
    """Packets, 24 bits; negative when duplicates outweigh losses."""
    highest_seq: int
    """32 bits: cycles above, sequence number below."""
    jitter: int
    """RTP timestamp units."""
    lsr: int = 0
    """Middle 32 bits of the last sender report's time; 0 for none."""
    dlsr: int = 0
    """1/65536 s from receiving that report to sending this block."""


@dataclass(slots=True)
class SenderReport:
    ssrc: int
    ntp_raw: int
    """64-bit NTP time at which `rtp_timestamp` was sampled, on the sender's clock."""
    rtp_timestamp: int
    packet_count: int
    octet_count: int
    reports: list[ReportBlock] = field(default_factory=list)

    @property
    def ntp_time(self) -> float:
        """`ntp_raw` in seconds of the Unix epoch."""
        return ntp.to_unix(self.ntp_raw)


@dataclass(slots=True)
class ReceiverReport:
    ssrc: int
    reports: list[ReportBlock] = field(default_factory=list)


@dataclass(slots=True)
class Nack:
    """Sequence numbers to send again, 16 bits each, in the order given."""

    sender_ssrc: int
    media_ssrc: int
    seqs: list[int]


@dataclass(slots=True)
class Pli:
    sender_ssrc: int
    media_ssrc: int


@dataclass(slots=True)
class Fir:
    """A request for a keyframe of each (SSRC, request number); a repeated number is a repeat."""

    sender_ssrc: int
    entries: list[tuple[int, int]]


@dataclass(slots=True)
class Remb:
    """Receiver-estimated maximum bitrate, bit/s, of all `ssrcs` together."""

    sender_ssrc: int
    bitrate: int
    ssrcs: list[int]


@dataclass(slots=True)
class Bye:
    ssrcs: list[int]
    reason: str = ""


@dataclass(slots=True)
class Sdes:
    """(SSRC, CNAME) of each chunk that has one."""

    cnames: list[tuple[int, str]]


@dataclass(slots=True)
class ReceiverReference:
    """XR block 4: the receiver's own clock, so that one who sends nothing can measure a trip."""

    ssrc: int
    ntp_raw: int


@dataclass(slots=True)
class ReferenceReply:
    """XR block 5: (SSRC, LRR, DLRR) for each receiver reference heard, in 1/65536 s."""

    ssrc: int
    entries: list[tuple[int, int, int]]


Packet = (
    SenderReport
    | ReceiverReport
    | Nack
    | Pli
    | Fir
    | Remb
    | twcc.TransportFeedback
    | Bye
    | Sdes
    | ReceiverReference
    | ReferenceReply
)
