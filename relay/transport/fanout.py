"""The one seam through which media leaves: `fan_out(run, legs)`, one system call for a batch.

Per viewer and packet the inner loop does: copy the packet, write sequence number, timestamp and
transport-wide number, protect in place. Consecutive packets of one size to the same viewer are
one datagram train (UDP_SEGMENT) where the kernel takes it. No objects, awaits, locks or logging
in the loop. Measured by `python -m tests.bench fanout`.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from relay.sfu.leg import Leg
from relay.sfu.packet import Outgoing
from relay.transport.native import (
    SEND_BUFFER_FULL,
    SOL_UDP,
    UDP_SEGMENT,
    CData,
    ffi,
    last_error,
    libc,
    new_buffer,
    new_length,
    protect,
    protect_rtcp,
)
from relay.transport.wire import SENT_MASK, Wire

_BATCH: Final = 256  # destinations per system call; UIO_MAXIOV would allow 1,024
_REGION: Final = 16 * 1024  # bytes per destination: a train of 12 full packets
_TRAILER: Final = 16 + 144  # SRTP_MAX_TRAILER_LEN, room behind the last packet of a train
_TRAIN: Final = 12
_sequence_timestamp: Final = struct.Struct("!HI").pack_into
_unsigned16: Final = struct.Struct("!H").pack_into
_segment_control: Final = struct.Struct("=QiiH").pack
_CONTROL: Final = 24  # CMSG_SPACE(sizeof(uint16_t))


@dataclass(slots=True)
class SendCounters:
    """Counts since start. dropped: the socket's buffer was full; failed: another send error."""

    packets: int = 0
    bytes: int = 0
    calls: int = 0
    dropped: int = 0
    failed: int = 0
    protect_failed: int = 0


class NativeFanOut:
    """Sends to many peers from one UDP socket. Used from one thread only."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.counters = SendCounters()
        self._segmentation = True
        self._memory, self._view, base = new_buffer(_BATCH * _REGION + _TRAILER)
        self._length = new_length()
        self._iov = ffi.new("struct iovec[]", _BATCH)
        self._messages = ffi.new("struct mmsghdr[]", _BATCH)
        # One control message per length of authentication tag, since it holds the packets' size.
        self._controls = {tag: ffi.new("char[]", _CONTROL) for tag in (10, 16)}
        self._regions: list[tuple[CData, CData, CData, int]] = []
        for index in range(_BATCH):
            header, vector = self._messages[index].msg_hdr, self._iov[index]
            vector.iov_base = ffi.cast("void *", base + index * _REGION)
            header.msg_iov = self._iov + index
            header.msg_iovlen = 1
            start = self._memory + index * _REGION
            self._regions.append((header, vector, start, index * _REGION))

    def fan_out(self, run: Sequence[Outgoing], legs: Sequence[Leg[Wire]], now: float) -> None:
        """Send every packet of `run` to every leg.

        run: packets of one group in order, of one size and layout, 1 to 12 of them.
        now: seconds, remembered as the time of sending.
        """
        if len(run) > 1 and not self._segmentation:
            for packet in run:
                self.fan_out((packet,), legs, now)
            return
        for first in range(0, len(legs), _BATCH):
            self._batch(run, legs[first : first + _BATCH], now)

    def _batch(self, run: Sequence[Outgoing], legs: Sequence[Leg[Wire]], now: float) -> None:
        view, length, size = self._view, self._length, len(run[0].data)
        twcc_offset = run[0].twcc_offset
        train = len(run) > 1
        if train:
            for tag, control in self._controls.items():
                ffi.buffer(control)[0:18] = _segment_control(18, SOL_UDP, UDP_SEGMENT, size + tag)
        failed = 0
        for leg, (header, vector, start, offset) in zip(legs, self._regions, strict=False):
            wire = leg.wire
            tx = wire.tx
            stride = size + wire.tag
            base, lift = leg.sequence_offset, leg.timestamp_offset
            number, sent_at, sent_size = wire.transport_sequence, wire.sent_at, wire.sent_size
            for packet in run:
                view[offset : offset + size] = packet.data
                _sequence_timestamp(
                    view,
                    offset + 2,
                    (packet.sequence + base) & 0xFFFF,
                    (packet.timestamp + lift) & 0xFFFFFFFF,
                )
                if twcc_offset:
                    _unsigned16(view, offset + twcc_offset, number & 0xFFFF)
                    sent_at[number & SENT_MASK] = now
                    sent_size[number & SENT_MASK] = stride
                    number += 1
                if leg.picture_offset and packet.picture_offset:
                    _patch_picture(view, offset, packet, leg.picture_offset, leg.tl0_offset)
                length[0] = size
                if protect(tx, start, length):
                    failed += 1
                offset += stride
                start += stride
            wire.transport_sequence = number
            wire.sent_bytes += stride * len(run)
            header.msg_name = wire.address
            header.msg_namelen = wire.address_length
            vector.iov_len = stride * len(run)
            if train:
                header.msg_control = self._controls[wire.tag]
                header.msg_controllen = _CONTROL
            else:
                header.msg_control = ffi.NULL
                header.msg_controllen = 0
        self.counters.protect_failed += failed
        self._send(len(legs), len(run))

    def _send(self, destinations: int, packets: int) -> None:
        counters = self.counters
        sent = 0
        while sent < destinations:
            done = libc.sendmmsg(self._fd, self._messages + sent, destinations - sent, 0)
            counters.calls += 1
            if done > 0:
                sent += done
                counters.packets += done * packets
                continue
            error = last_error()
            if error in SEND_BUFFER_FULL:
                counters.dropped += (destinations - sent) * packets
                return
            if packets > 1 and error in (errno.EINVAL, errno.EIO, errno.EOPNOTSUPP):
                # The device cannot cut trains: never try again, and let NACK repair this one.
                self._segmentation = False
                counters.dropped += (destinations - sent) * packets
                return
            # This destination is unreachable just now; the others are not its business.
            counters.failed += packets
            sent += 1

    def send_rtp(self, wire: Wire, packet: bytearray, twcc_offset: int, now: float) -> None:
        """Send one RTP packet made for one peer: a repair, a cached frame, padding.

        `packet` is complete but for the transport-wide number at `twcc_offset` (0: none).
        """
        if twcc_offset:
            number = wire.transport_sequence
            _unsigned16(packet, twcc_offset, number & 0xFFFF)
            wire.sent_at[number & SENT_MASK] = now
            wire.sent_size[number & SENT_MASK] = len(packet) + wire.tag
            wire.transport_sequence = number + 1
        self._send_protected(wire, packet, protect)

    def send_rtcp(self, wire: Wire, packet: bytes) -> None:
        """Send one compound RTCP packet, protected as SRTCP."""
        self._send_protected(wire, packet, protect_rtcp)

    def _send_protected(self, wire: Wire, packet: bytes | bytearray, protector: CData) -> None:
        header, vector, start, offset = self._regions[0]
        size = len(packet)
        self._view[offset : offset + size] = packet
        self._length[0] = size
        if protector(wire.tx, start, self._length):
            self.counters.protect_failed += 1
            return
        header.msg_name = wire.address
        header.msg_namelen = wire.address_length
        header.msg_control = ffi.NULL
        header.msg_controllen = 0
        vector.iov_len = self._length[0]
        wire.sent_bytes += vector.iov_len
        self._send(1, 1)


def _patch_picture(
    view: memoryview, start: int, packet: Outgoing, pictures: int, tl0_pictures: int
) -> None:
    at = start + packet.picture_offset
    value = packet.picture + pictures
    if packet.picture_bits == 7:
        view[at] = value & 0x7F
    elif packet.picture_bits == 15:
        _unsigned16(view, at, 0x8000 | (value & 0x7FFF))
    else:
        _unsigned16(view, at, value & 0xFFFF)
    if packet.tl0_offset:
        view[start + packet.tl0_offset] = (packet.tl0 + tl0_pictures) & 0xFF
