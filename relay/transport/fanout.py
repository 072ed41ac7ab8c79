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
from typing import Any, Final

from relay.sfu.leg import Leg
from relay.sfu.members import Members
from relay.sfu.packet import Outgoing, patch_picture
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

# Destinations per system call: more would save nothing, and let the first ones wait longer.
_BATCH: Final = 64
_REGION: Final = 16 * 1024  # bytes per destination: a train of 12 full packets
_TRAILER: Final = 16 + 144  # SRTP_MAX_TRAILER_LEN, room behind the last packet of a train
_TRAIN: Final = 12
# What a destination's way says when it cannot cut trains: a path with a smaller MTU than their
# packets (EINVAL), a device that leaves checksums to us (EIO). Others may take them all the same.
_NOT_AS_TRAIN: Final = frozenset((errno.EINVAL, errno.EIO, errno.EOPNOTSUPP, errno.EMSGSIZE))
# So many in a row with none between that went out: the kernel knows no trains (Linux before 4.18).
_REFUSALS: Final = 256
_sequence_timestamp: Final = struct.Struct("!HI").pack_into
_unsigned16: Final = struct.Struct("!H").pack_into
_segment_control: Final = struct.Struct("=QiiH").pack
_CONTROL: Final = 24  # CMSG_SPACE(sizeof(uint16_t))


@dataclass(slots=True)
class SendCounters:
    """Counts since start. dropped: the socket's buffer was full; failed: another send error.

    apart: trains that the way to a destination did not take, sent packet by packet.
    """

    packets: int = 0
    calls: int = 0
    dropped: int = 0
    failed: int = 0
    protect_failed: int = 0
    apart: int = 0


class _Chunk:
    """Up to _BATCH legs laid out for sending: what does not change from packet to packet."""

    __slots__ = ("plain", "rows", "sizes", "trains", "vectors")

    def __init__(self, legs: Sequence[Leg[Wire]], fan_out: NativeFanOut) -> None:
        count = len(legs)
        self.vectors = ffi.new("struct iovec[]", count)
        # Two sets of headers, so that a train's control message need not be put on and off.
        self.plain = ffi.new("struct mmsghdr[]", count)
        self.trains = ffi.new("struct mmsghdr[]", count)
        self.sizes = -1
        self.rows: list[tuple[Any, ...]] = []
        for index, leg in enumerate(legs):
            wire = leg.wire
            start, offset, address = fan_out.regions[index]
            self.vectors[index].iov_base = ffi.cast("void *", address)
            for messages in (self.plain, self.trains):
                header = messages[index].msg_hdr
                header.msg_name = wire.address
                header.msg_namelen = wire.address_length
                header.msg_iov = self.vectors + index
                header.msg_iovlen = 1
            header.msg_control = fan_out.controls[wire.tag]
            header.msg_controllen = _CONTROL
            self.rows.append(
                (
                    wire,
                    wire.tx,
                    wire.tag,
                    start,
                    offset,
                    leg.sequence_offset,
                    leg.timestamp_offset,
                    wire.sent_at,
                    wire.sent_size,
                    (leg.picture_offset, leg.tl0_offset)
                    if leg.picture_offset or leg.tl0_offset
                    else None,
                )
            )


class NativeFanOut:
    """Sends to many peers from one UDP socket. Used from one thread only."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.counters = SendCounters()
        self._refused = 0
        self._memory, self._view, base = new_buffer(_BATCH * _REGION + _TRAILER)
        self._length = new_length()
        # One control message per length of authentication tag, since it holds the packets' size.
        self.controls: dict[int, CData] = {tag: ffi.new("char[]", _CONTROL) for tag in (10, 16)}
        self.regions: list[tuple[CData, int, int]] = [
            (self._memory + index * _REGION, index * _REGION, base + index * _REGION)
            for index in range(_BATCH)
        ]
        self._single_vector = ffi.new("struct iovec *")
        self._base = ffi.cast("void *", base)
        self._single_vector.iov_base = self._base
        self._single = ffi.new("struct mmsghdr *")
        self._single.msg_hdr.msg_iov = self._single_vector
        self._single.msg_hdr.msg_iovlen = 1

    def fan_out(self, run: Sequence[Outgoing], legs: Sequence[Leg[Wire]], now: float) -> None:
        """Send every packet of `run` to every leg.

        run: packets of one group in order, of one size and layout, 1 to 12 of them.
        now: seconds, remembered as the time of sending.
        """
        if len(run) > 1 and self._refused >= _REFUSALS:
            for packet in run:
                self.fan_out((packet,), legs, now)
            return
        if isinstance(legs, Members):
            chunks = legs.table
            if chunks is None:
                chunks = legs.table = self._lay_out(legs)
        else:
            chunks = self._lay_out(legs)
        for chunk in chunks:
            self._send_chunk(run, chunk, now)

    def _lay_out(self, legs: Sequence[Leg[Wire]]) -> list[_Chunk]:
        return [_Chunk(legs[first : first + _BATCH], self) for first in range(0, len(legs), _BATCH)]

    def _send_chunk(self, run: Sequence[Outgoing], chunk: _Chunk, now: float) -> None:
        view, length, size = self._view, self._length, len(run[0].data)
        count, twcc_offset = len(run), run[0].twcc_offset
        sizes = size * 16 + count
        if sizes != chunk.sizes:
            chunk.sizes = sizes
            for index, row in enumerate(chunk.rows):
                chunk.vectors[index].iov_len = (size + row[2]) * count
        failed = 0
        packet = run[0]
        data, sequence, timestamp = packet.data, packet.sequence, packet.timestamp
        for wire, tx, tag, start, offset, base, lift, sent_at, sent_size, pictures in chunk.rows:
            number = wire.transport_sequence
            view[offset : offset + size] = data
            _sequence_timestamp(
                view, offset + 2, sequence + base & 0xFFFF, timestamp + lift & 0xFFFFFFFF
            )
            if twcc_offset:
                _unsigned16(view, offset + twcc_offset, number & 0xFFFF)
                sent_at[number & SENT_MASK] = now
                sent_size[number & SENT_MASK] = size + tag
                number += 1
            if pictures is not None and packet.picture_offset:
                patch_picture(view, offset, packet, *pictures)
            length[0] = size
            if protect(tx, start, length):
                failed += 1
                view[offset : offset + size] = bytes(size)  # nothing leaves in the clear
            if count > 1:
                stride = size + tag
                for following in run[1:]:
                    offset += stride
                    start += stride
                    view[offset : offset + size] = following.data
                    _sequence_timestamp(
                        view,
                        offset + 2,
                        following.sequence + base & 0xFFFF,
                        following.timestamp + lift & 0xFFFFFFFF,
                    )
                    if twcc_offset:
                        _unsigned16(view, offset + twcc_offset, number & 0xFFFF)
                        sent_at[number & SENT_MASK] = now
                        sent_size[number & SENT_MASK] = stride
                        number += 1
                    if pictures is not None and following.picture_offset:
                        patch_picture(view, offset, following, *pictures)
                    length[0] = size
                    if protect(tx, start, length):
                        failed += 1
                        view[offset : offset + size] = bytes(size)
            wire.transport_sequence = number
        if failed:
            self.counters.protect_failed += failed
        if count == 1:
            self._send(chunk.plain, len(chunk.rows))
            return
        for tag, control in self.controls.items():
            ffi.buffer(control)[0:18] = _segment_control(18, SOL_UDP, UDP_SEGMENT, size + tag)
        self._send(chunk.trains, len(chunk.rows), count)

    def _send(self, messages: CData, destinations: int, packets: int = 1) -> None:
        """Send one datagram, or one train of `packets` equal ones, to each destination."""
        counters = self.counters
        sent = 0
        while sent < destinations:
            done = libc.sendmmsg(self._fd, messages + sent, destinations - sent, 0)
            counters.calls += 1
            if done > 0:
                sent += done
                counters.packets += done * packets
                if packets > 1:
                    self._refused = 0
                continue
            error = last_error()
            if error in SEND_BUFFER_FULL:
                counters.dropped += (destinations - sent) * packets
                return
            if packets > 1 and error in _NOT_AS_TRAIN:
                self._refused += 1
                self._send_apart(messages[sent].msg_hdr, packets)
                sent += 1
                continue
            # This destination is unreachable just now; the others are not its business.
            counters.failed += packets
            sent += 1

    def _send_apart(self, train: CData, packets: int) -> None:
        """Send one destination's train as datagrams of their own: they are protected already."""
        self.counters.apart += 1
        header, vector = self._single.msg_hdr, self._single_vector
        header.msg_name, header.msg_namelen = train.msg_name, train.msg_namelen
        start, size = train.msg_iov.iov_base, train.msg_iov.iov_len // packets
        for index in range(packets):
            vector.iov_base, vector.iov_len = ffi.cast("char *", start) + index * size, size
            self._send(self._single, 1)
        vector.iov_base = self._base

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
        size = len(packet)
        self._view[:size] = packet
        self._length[0] = size
        if protector(wire.tx, self._memory, self._length):
            self.counters.protect_failed += 1
            return
        header = self._single.msg_hdr
        header.msg_name = wire.address
        header.msg_namelen = wire.address_length
        self._single_vector.iov_len = self._length[0]
        self._send(self._single, 1)
