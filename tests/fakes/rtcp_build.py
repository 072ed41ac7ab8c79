"""RTCP that peers send and a relay only reads (RFC 3550 §6.6, RFC 5104 §4.3.1, REMB's draft).

Here: what goes beside `relay.media.rtcp_build`, bytes that may be joined to a compound with `+`.
Not here: anything that the relay itself writes, or when to send.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from relay.media.rtcp import BYE, FMT_AFB, FMT_FIR, PSFB


def _packet(count: int, kind: int, body: bytes) -> bytes:
    return struct.pack("!BBH", 0x80 | count, kind, len(body) // 4) + body


def build_fir(sender_ssrc: int, entries: Sequence[tuple[int, int]]) -> bytes:
    """A full intra request for each (SSRC, request number of 8 bits)."""
    body = struct.pack("!II", sender_ssrc, 0)
    return _packet(
        FMT_FIR,
        PSFB,
        body
        + b"".join(struct.pack("!II", ssrc, (number & 0xFF) << 24) for ssrc, number in entries),
    )


def build_remb(sender_ssrc: int, bitrate: int, ssrcs: Sequence[int]) -> bytes:
    """Maximum bitrate, bit/s, rounded down to 18 significant bits."""
    exponent = max(0, bitrate.bit_length() - 18)
    word = len(ssrcs) << 24 | exponent << 18 | bitrate >> exponent
    return _packet(
        FMT_AFB,
        PSFB,
        struct.pack(f"!II4sI{len(ssrcs)}I", sender_ssrc, 0, b"REMB", word, *ssrcs),
    )


def build_bye(ssrcs: Sequence[int], reason: str = "") -> bytes:
    """A goodbye; the reason is cut to 255 bytes of UTF-8."""
    body = struct.pack(f"!{len(ssrcs)}I", *ssrcs)
    if reason:
        text = reason.encode()[:255]
        body += bytes((len(text),)) + text
        body += bytes(-len(body) % 4)
    return _packet(len(ssrcs), BYE, body)
