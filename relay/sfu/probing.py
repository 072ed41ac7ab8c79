"""Padding that asks a link whether it takes more than the lesson needs just now.

A link whose rate is not used proves nothing by itself; a little on top, in packets that nobody has
to decode, shows whether it would carry the next larger picture. How much, and when, is for the
estimate to say (`BandwidthEstimate.probe`); here it becomes packets: RTP padding (RFC 3550 §5.1) in
the stream of repairs, where a gap or a repeat disturbs no picture. Pure.
"""

from __future__ import annotations

import struct
from typing import Final

from relay.media import rtp
from relay.sfu.leg import Leg
from relay.sfu.viewer import Viewer, W

# The last byte of a packet counts its padding.
_PADDING: Final = 255
_HEAD: Final = struct.Struct("!BBHII")
# UDP, IP, RTP, extension, authentication tag.
_AROUND: Final = 28 + 12 + 8 + 16
# A large picture still stands in the link's queue for a while after it has left.
_AFTER_PICTURES: Final = 1.0
# Until the link pushed back all that flows is no more than so many times what was seen to pass: an
# estimate that ran ahead of it must not fill the link by itself.
_BOLDEST: Final = 1.5
# Padding for more time than this says nothing of a rate.
_LONGEST: Final = 0.25


def probe(viewer: Viewer[W], now: float) -> None:
    """Send what is due of the viewer's probe since the last call."""
    elapsed, viewer.padded_at = min(now - viewer.padded_at, _LONGEST), now
    leg, on_top = None, _on_top(viewer, now)
    if on_top > 0.0:
        leg = _leg(viewer)
    if leg is None:
        viewer.pace.set_probe(0.0, now)
        return
    estimate, allotted = viewer.bandwidth, viewer.allotted
    # What the estimate grants and nothing needs is filled as well: only what is sent is proven.
    bitrate = on_top + max(0.0, estimate.bitrate - allotted)
    if viewer.is_unproven(now):
        bitrate = min(bitrate, _BOLDEST * max(allotted, estimate.proven) - allotted)
    else:
        viewer.pace.set_probe(on_top, now)
    viewer.padding_due += bitrate * elapsed / 8
    while viewer.padding_due >= _PADDING + _AROUND:
        viewer.padding_due -= _PADDING + _AROUND
        viewer.padded += 1
        packet, twcc_offset = _padding(leg)
        viewer.pace.pad(packet, twcc_offset)
    viewer.pace.handle_timer(now)


def _on_top(viewer: Viewer[W], now: float) -> float:
    """bit/s beyond the estimate that are to be sent now."""
    if viewer.behind:
        return 0.0
    if viewer.allotted > 0.99 * viewer.bandwidth.wanted:
        return 0.0  # it has all there is
    if now - viewer.pace.busy_at < _AFTER_PICTURES:
        return 0.0  # a round that begins now would be over before anything of it is sent
    return viewer.bandwidth.probe(now)


def _leg(viewer: Viewer[W]) -> Leg[W] | None:
    """The leg whose repairs may carry padding: one that shows a picture, else any with RTX."""
    legs = [
        leg
        for leg in viewer.legs.values()
        if leg.spec.extensions.get(rtp.TRANSPORT_CC)
        and any(codec.rtx is not None for codec in leg.spec.codecs)
    ]
    return max(legs, key=lambda leg: leg.group is not None, default=None)


def _padding(leg: Leg[W]) -> tuple[bytearray, int]:
    profile = leg.group.profile if leg.group is not None else None
    payload_type = profile.rtx if profile is not None else None
    if payload_type is None:
        payload_type = next(codec.rtx for codec in leg.spec.codecs if codec.rtx is not None)
    block = rtp.build_extension_block([(leg.spec.extensions[rtp.TRANSPORT_CC], b"\0\0")])
    head = 1 if block[:2] == b"\xbe\xde" else 2
    timestamp = leg.last_timestamp or 0
    packet = bytearray(
        _HEAD.pack(0xB0, payload_type, leg.rtx_sequence & 0xFFFF, timestamp, leg.spec.rtx_ssrc)
    )
    packet += block + bytes(_PADDING - 1) + bytes((_PADDING,))
    leg.rtx_sequence += 1
    return packet, rtp.HEADER_SIZE + 4 + head
