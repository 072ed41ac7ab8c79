"""Sender reports to viewers (RFC 3550 §6.4.1): the tie between a slot's timestamps and the clock.

Receivers line up voice and picture by them. Each leg's report is computed from the layer it
receives now, so that a switch between layers never moves lip synchronisation. Pure.
"""

from __future__ import annotations

from typing import Any

from relay.media import ntp, rtcp_build
from relay.sfu.viewer import Viewer


def sender_reports(viewer: Viewer[Any], name: str, now: float) -> bytes:
    """One compound packet with a report for each leg that is receiving; b"" when none is.

    name: the CNAME that voice and pictures share; receivers that are no browsers line up only
    streams of one name (RFC 3550 §6.5.1).
    """
    parts: list[bytes] = []
    names: list[tuple[int, str]] = []
    for leg in viewer.legs.values():
        group = leg.group
        if group is None:
            continue
        layer = group.layer
        anchor = layer.timeline.latest
        if anchor is None:
            continue
        rate = layer.timeline.rate
        captured = anchor.rtp_timestamp + round((now - anchor.wall) * rate)
        timestamp = (captured + group.lift + leg.timestamp_offset) & 0xFFFFFFFF
        packets, octets = leg.counts()
        parts.append(
            rtcp_build.build_sr(
                leg.spec.ssrc,
                ntp.from_unix(now),
                timestamp,
                packets & 0xFFFFFFFF,
                octets & 0xFFFFFFFF,
            )
        )
        names.append((leg.spec.ssrc, name))
    if not parts:
        return b""
    return b"".join((*parts, rtcp_build.build_sdes(names)))
