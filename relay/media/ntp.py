"""NTP time as RTCP carries it (RFC 3550 4): 64 bits of seconds since 1900, or the middle 32.

Here: changing between that and seconds of the Unix epoch, and the round trip out of a report's
LSR and DLSR. Not here: whose clock it is. Numbers are integers unless named seconds.
"""

from __future__ import annotations

from typing import Final

# Seconds from 1900-01-01 to 1970-01-01.
UNIX_OFFSET: Final = 2_208_988_800


def from_unix(seconds: float) -> int:
    """The 64-bit NTP time of `seconds` of the Unix epoch; wraps in 2036 as NTP does."""
    whole = int(seconds)
    return (whole + UNIX_OFFSET << 32) + int((seconds - whole) * 4294967296) & 0xFFFFFFFFFFFFFFFF


def to_unix(ntp: int) -> float:
    """Seconds of the Unix epoch, to about 0.25 µs; times before 1970 count as after 2036 (the
    next NTP era)."""
    whole = ntp >> 32
    if whole < UNIX_OFFSET:
        whole += 1 << 32
    return (whole - UNIX_OFFSET) + (ntp & 0xFFFFFFFF) / 4294967296


def middle(ntp: int) -> int:
    """The middle 32 bits: units of 1/65536 s, wrapping every 18 hours."""
    return ntp >> 16 & 0xFFFFFFFF


def seconds(short: int) -> float:
    """Seconds of a 32-bit duration in units of 1/65536 s."""
    return short / 65536


def short(duration: float) -> int:
    """A duration of at least 0 seconds in units of 1/65536 s, at most 32 bits."""
    return min(int(duration * 65536), 0xFFFFFFFF) if duration > 0 else 0


def round_trip(now_middle: int, last_report: int, delay: int) -> float | None:
    """Round-trip time in seconds (RFC 3550 6.4.1): now, LSR and DLSR, all in 1/65536 s. None when
    no report was echoed (LSR 0) or the answer would be negative or beyond an hour (a peer's slip).
    """
    if last_report == 0:
        return None
    trip = now_middle - last_report - delay & 0xFFFFFFFF
    if trip >= 0x80000000:
        # A peer that rounds its delay up can push a short trip just below zero.
        return 0.0 if trip > 0xFFFFFFFF - 655 else None
    return trip / 65536 if trip < 3600 * 65536 else None
