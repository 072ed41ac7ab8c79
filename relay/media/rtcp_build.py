"""Writing RTCP packets (RFC 3550 6, RFC 4585 6, RFC 3611 4.4 and 4.5).

Here: one `build_` function for each packet type that a relay sends, giving bytes that may be joined
to a compound with `+`. Transport-wide feedback is written by twcc.ArrivalLog. Not here: when to
send them. Numbers outside their field are cut or capped as said at each function; nothing is raised
but by struct for an SSRC that is no 32-bit number.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

from relay.media.rtcp import (
    FMT_NACK,
    FMT_PLI,
    PSFB,
    RR,
    RTPFB,
    SDES,
    SR,
    XR,
    XR_DLRR,
    XR_RRTR,
    ReportBlock,
)

MAX_BLOCKS = 31

_HEAD = struct.Struct("!BBH")


def _packet(count: int, kind: int, body: bytes) -> bytes:
    return _HEAD.pack(0x80 | count, kind, len(body) // 4) + body


def _blocks(reports: Sequence[ReportBlock]) -> bytes:
    parts = []
    for block in reports[:MAX_BLOCKS]:
        fraction = min(255, max(0, int(block.fraction_lost * 256)))
        lost = min(0x7FFFFF, max(-0x800000, block.cumulative_lost)) & 0xFFFFFF
        parts.append(
            struct.pack(
                "!IIIIII",
                block.ssrc,
                fraction << 24 | lost,
                block.highest_seq & 0xFFFFFFFF,
                block.jitter & 0xFFFFFFFF,
                block.lsr,
                block.dlsr,
            )
        )
    return b"".join(parts)


def build_sr(
    ssrc: int,
    ntp_raw: int,
    rtp_timestamp: int,
    packet_count: int,
    octet_count: int,
    reports: Sequence[ReportBlock] = (),
) -> bytes:
    """A sender report; counts wrap at 32 bits, blocks beyond 31 are left out."""
    head = struct.pack(
        "!IQIII",
        ssrc,
        ntp_raw,
        rtp_timestamp & 0xFFFFFFFF,
        packet_count & 0xFFFFFFFF,
        octet_count & 0xFFFFFFFF,
    )
    return _packet(min(len(reports), MAX_BLOCKS), SR, head + _blocks(reports))


def build_rr(ssrc: int, reports: Sequence[ReportBlock] = ()) -> bytes:
    """A receiver report; blocks beyond 31 are left out."""
    return _packet(min(len(reports), MAX_BLOCKS), RR, struct.pack("!I", ssrc) + _blocks(reports))


def build_nack(sender_ssrc: int, media_ssrc: int, seqs: Iterable[int]) -> bytes:
    """A generic NACK for 16-bit `seqs`, at least one, oldest first (so that 17 neighbours share
    one entry, also across the wrap)."""
    entries: list[tuple[int, int]] = []
    first = -1
    mask = 0
    for seq in seqs:
        ahead = seq - first & 0xFFFF
        if first >= 0 and ahead <= 16:
            if ahead:
                mask |= 1 << ahead - 1
            continue
        if first >= 0:
            entries.append((first, mask))
        first, mask = seq, 0
    if first < 0:
        raise ValueError("a NACK needs a sequence number")
    entries.append((first, mask))
    body = struct.pack("!II", sender_ssrc, media_ssrc)
    return _packet(
        FMT_NACK, RTPFB, body + b"".join(struct.pack("!HH", *entry) for entry in entries)
    )


def build_pli(sender_ssrc: int, media_ssrc: int) -> bytes:
    return _packet(FMT_PLI, PSFB, struct.pack("!II", sender_ssrc, media_ssrc))


def build_sdes(cnames: Sequence[tuple[int, str]]) -> bytes:
    """A source description with the CNAME, cut to 255 bytes of UTF-8, of each SSRC."""
    body = b""
    for ssrc, cname in cnames:
        text = cname.encode()[:255]
        chunk = struct.pack("!IBB", ssrc, 1, len(text)) + text + b"\x00"
        body += chunk + bytes(-len(chunk) % 4)
    return _packet(len(cnames), SDES, body)


def build_receiver_reference(ssrc: int, ntp_raw: int) -> bytes:
    """XR with our own clock, to be answered with build_reference_reply."""
    return _packet(0, XR, struct.pack("!IBBHQ", ssrc, XR_RRTR, 0, 2, ntp_raw))


def build_reference_reply(ssrc: int, entries: Sequence[tuple[int, int, int]]) -> bytes:
    """XR answering receiver references: (SSRC, LRR, DLRR) in 1/65536 s."""
    body = struct.pack("!IBBH", ssrc, XR_DLRR, 0, 3 * len(entries))
    return _packet(0, XR, body + b"".join(struct.pack("!III", *entry) for entry in entries))
