"""The one seam through which media leaves: `fan_out(run, legs)`, one system call for a batch.

What differs from viewer to viewer (sequence number, timestamp, transport-wide number) is written
for a whole batch at once by numpy, then each packet is protected in place; no line of Python runs
per packet, nothing is allocated, awaited, locked or logged. Consecutive packets of one size to the
same viewer are one datagram train (UDP_SEGMENT) where the way there takes it. Measured by
`python -m tests.bench fanout`.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np

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
    new_lengths,
    protect,
    protect_rtcp,
)
from relay.transport.send_log import SendLogs
from relay.transport.wire import CONTROL, PICTURE, VOICE, FrameStream, Wire

# Destinations per batch: what a batch of pictures takes stays within a core's own cache, and the
# first ones wait little for the last; a voice is so small that more of them go together.
_BATCH: Final = 64
_VOICES: Final = 256
_TRAIN: Final = 12
# Bytes per packet: above any datagram that the port takes in, with SRTP_MAX_TRAILER_LEN. An odd
# number of cache lines, so that the slots of a batch do not fall upon each other in the cache.
_SLOT: Final = 2_048 + 16 + 144 + 32
# What a destination's way says when it cannot cut trains: a path with a smaller MTU than their
# packets (EINVAL), a device that leaves checksums to us (EIO). Others may take them all the same.
_NOT_AS_TRAIN: Final = frozenset((errno.EINVAL, errno.EIO, errno.EOPNOTSUPP, errno.EMSGSIZE))
# So many in a row with none between that went out: the kernel knows no trains (Linux before 4.18).
_REFUSALS: Final = 256
_unsigned16: Final = struct.Struct("!H").pack_into
_segment_control: Final = struct.Struct("=QiiH").pack
_CONTROL: Final = 24  # CMSG_SPACE(sizeof(uint16_t))
# struct mmsghdr as eight words of 64 bits.
_NAME, _NAME_LENGTH, _VECTOR, _VECTORS, _CONTROLS, _CONTROL_LENGTH = range(6)
_WORDS: Final = 8

Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
Integers = np.ndarray[tuple[int, ...], np.dtype[np.int64]]


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


class _Batch:
    """Legs of one kind laid out for sending: what does not change from packet to packet."""

    __slots__ = (
        "contexts",
        "count",
        "lifted",
        "messages",
        "pictures",
        "rows",
        "shifted",
        "size",
        "streams",
        "tag",
        "urgency",
        "words",
    )

    def __init__(self, legs: Sequence[Leg[Wire]], vectors: int, vector_bytes: int) -> None:
        """vectors: address of the first destination's iovecs; vector_bytes: from one to the next.

        legs: all with one length of authentication tag.
        """
        self.size = len(legs)
        self.tag = legs[0].wire.tag
        first = legs[0].wire.stream
        self.streams = None if first is None else [leg.wire.stream for leg in legs]
        """Of a batch whose destinations all are streams, which none of another batch is."""
        self.urgency = PICTURE if legs[0].spec.kind == "video" else VOICE
        self.rows: Integers = np.array([leg.wire.row for leg in legs])
        self.shifted: Integers = np.array([leg.sequence_offset for leg in legs])
        self.lifted: Integers = np.array([leg.timestamp_offset for leg in legs])
        self.messages: CData = ffi.new("struct mmsghdr[]", self.size)
        self.words = np.frombuffer(ffi.buffer(self.messages), np.uint64).reshape(-1, _WORDS)
        self.words[:, _NAME] = [leg.wire.address for leg in legs]
        self.words[:, _NAME_LENGTH] = [leg.wire.address_length for leg in legs]
        self.words[:, _VECTOR] = vectors + vector_bytes * np.arange(self.size)
        self.count = 0
        """Packets per destination that the headers are set for."""
        self.contexts: dict[int, list[CData]] = {1: [leg.wire.tx for leg in legs]}
        """By packets per destination: whose SRTP context protects which packet."""
        self.pictures = [
            (index, leg.picture_offset, leg.tl0_offset)
            for index, leg in enumerate(legs)
            if leg.picture_offset or leg.tl0_offset
        ]

    def set_count(self, count: int, control: int) -> None:
        """From now on `count` packets each. control: address of what says their size."""
        self.count = count
        self.words[:, _VECTORS] = count
        self.words[:, _CONTROLS] = control if count > 1 else 0
        self.words[:, _CONTROL_LENGTH] = _CONTROL if count > 1 else 0
        if count not in self.contexts:
            self.contexts[count] = [one for one in self.contexts[1] for _ in range(count)]


class NativeFanOut:
    """Sends to many peers from one UDP socket. Used from one thread only."""

    def __init__(self, fd: int, logs: SendLogs) -> None:
        self._fd = fd
        self.logs = logs
        self.counters = SendCounters()
        self._refused = 0
        # Packet k of destination i is in slot k × _VOICES + i.
        self._memory, self._view, base = new_buffer(_TRAIN * _VOICES * _SLOT)
        slots = np.frombuffer(self._view, np.uint8).reshape(_TRAIN, _VOICES, _SLOT)
        self._slots = slots
        self._sequences = self._field(2, ">u2")
        self._timestamps = self._field(4, ">u4")
        self._transport_numbers: dict[int, Integers] = {}
        # iovecs and lengths of destination i begin at i × _TRAIN.
        self._vectors = ffi.new("struct iovec[]", _VOICES * _TRAIN)
        vectors = np.frombuffer(ffi.buffer(self._vectors), np.uint64).reshape(_VOICES, _TRAIN, 2)
        order = np.arange(_TRAIN) * _VOICES + np.arange(_VOICES)[:, None]
        vectors[:, :, 0] = base + order * _SLOT
        self._vector_sizes = vectors[:, :, 1]
        self._lengths, self._length_view = new_lengths(_VOICES * _TRAIN)
        self._length_table = np.frombuffer(self._length_view, np.int32).reshape(_VOICES, _TRAIN)
        self._places: dict[int, tuple[list[CData], list[CData]]] = {}
        # One control message per length of authentication tag, since it holds the packets' size.
        self._controls: dict[int, CData] = {tag: ffi.new("char[]", _CONTROL) for tag in (10, 16)}
        self._single_vector = ffi.new("struct iovec *")
        self._single_vector.iov_base = ffi.cast("void *", base)
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
            batches = legs.table
            if batches is None:
                batches = legs.table = self._lay_out(legs)
        else:
            batches = self._lay_out(legs)
        for batch in batches:
            self._send_batch(run, batch, now)

    def _lay_out(self, legs: Sequence[Leg[Wire]]) -> list[_Batch]:
        vectors = int(ffi.cast("uintptr_t", self._vectors))
        most = _BATCH if legs and legs[0].spec.kind == "video" else _VOICES
        batches: list[_Batch] = []
        # Who is on a stream costs the others nothing: they are batches apart.
        for tag, streams in product(self._controls, (False, True)):
            alike = [
                leg
                for leg in legs
                if leg.wire.tag == tag and (leg.wire.stream is not None) is streams
            ]
            for first in range(0, len(alike), most):
                some = alike[first : first + most]
                batches.append(_Batch(some, vectors, _TRAIN * ffi.sizeof("struct iovec")))
        return batches

    def _send_batch(self, run: Sequence[Outgoing], batch: _Batch, now: float) -> None:
        count, legs, tag, size = len(run), batch.size, batch.tag, len(run[0].data)
        control = self._controls[tag]
        if count != batch.count:
            batch.set_count(count, int(ffi.cast("uintptr_t", control)))
        for packet, slots in zip(run, self._slots, strict=False):
            slots[:legs, :size] = np.frombuffer(packet.data, np.uint8)
        sequences = np.array([[packet.sequence] for packet in run])
        self._sequences[:count, :legs] = sequences + batch.shifted
        timestamps = np.array([[packet.timestamp] for packet in run])
        self._timestamps[:count, :legs] = timestamps + batch.lifted
        if run[0].twcc_offset:
            numbers = self.logs.sent(batch.rows, count, size + tag, now)
            self._transport_field(run[0].twcc_offset)[:count, :legs] = numbers
        if batch.pictures and any(packet.picture_offset for packet in run):
            self._patch_pictures(run, batch)
        self._length_table[:legs, :count] = size
        pointers, lengths = self._places.get(count) or self._lay_places(count)
        refused = list(map(protect, batch.contexts[count], pointers, lengths))
        if any(refused):
            self._clear(refused, count)
        if batch.streams is not None:
            self._write(batch.streams, count, size + tag, batch.urgency)
            return
        self._vector_sizes[:legs, :count] = size + tag
        if count > 1:
            ffi.buffer(control)[0:18] = _segment_control(18, SOL_UDP, UDP_SEGMENT, size + tag)
        self._send(batch.messages, legs, count)

    def _patch_pictures(self, run: Sequence[Outgoing], batch: _Batch) -> None:
        """The few legs whose source changed have picture ids of their own."""
        for index, picture, tl0 in batch.pictures:
            for k, packet in enumerate(run):
                if packet.picture_offset:
                    start = (k * _VOICES + index) * _SLOT
                    patch_picture(self._view, start, packet, picture, tl0)

    def _clear(self, refused: Sequence[int], count: int) -> None:
        """Nothing leaves in the clear, whatever is wrong with one viewer's keys."""
        for index, status in enumerate(refused):
            if status:
                self.counters.protect_failed += 1
                self._slots[index % count, index // count] = 0

    def _field(self, offset: int, kind: str) -> Integers:
        """A field of all slots: (packet, destination) → number in network order."""
        strides = (_VOICES * _SLOT, _SLOT)
        return np.ndarray((_TRAIN, _VOICES), kind, self._view, offset, strides)

    def _transport_field(self, offset: int) -> Integers:
        field = self._transport_numbers.get(offset)
        if field is None:
            field = self._transport_numbers[offset] = self._field(offset, ">u2")
        return field

    def _lay_places(self, count: int) -> tuple[list[CData], list[CData]]:
        """Where libsrtp finds packets and their lengths, destination by destination."""
        places = [(k, index) for index in range(_VOICES) for k in range(count)]
        found = (
            [self._memory + (k * _VOICES + index) * _SLOT for k, index in places],
            [self._lengths + (index * _TRAIN + k) for k, index in places],
        )
        self._places[count] = found
        return found

    def _write(
        self, streams: Sequence[FrameStream | None], count: int, size: int, urgency: int
    ) -> None:
        """Write what lies in the slots to the streams; each takes what it has room for."""
        for index, stream in enumerate(streams):
            if stream is None:
                continue
            for k in range(count):
                start = (k * _VOICES + index) * _SLOT
                if stream.send(self._view[start : start + size], urgency):
                    self.counters.packets += 1
                else:
                    self.counters.dropped += 1

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
        header = self._single.msg_hdr
        header.msg_name, header.msg_namelen = train.msg_name, train.msg_namelen
        for index in range(packets):
            header.msg_iov = train.msg_iov + index
            self._send(self._single, 1)
        header.msg_iov = self._single_vector

    def send_rtp(self, wire: Wire, packet: bytearray, twcc_offset: int, now: float) -> None:
        """Send one RTP packet made for one peer: a repair, a cached frame, padding.

        `packet` is complete but for the transport-wide number at `twcc_offset` (0: none).
        """
        if twcc_offset:
            number = self.logs.sent_one(wire.row, len(packet) + wire.tag, now)
            _unsigned16(packet, twcc_offset, number & 0xFFFF)
        self._send_protected(wire, packet, protect)

    def send_rtcp(self, wire: Wire, packet: bytes) -> None:
        """Send one compound RTCP packet, protected as SRTCP."""
        self._send_protected(wire, packet, protect_rtcp)

    def _send_protected(self, wire: Wire, packet: bytes | bytearray, protector: CData) -> None:
        size = len(packet)
        self._view[:size] = packet
        self._lengths[0] = size
        if protector(wire.tx, self._memory, self._lengths):
            self.counters.protect_failed += 1
            return
        if wire.stream is not None:
            urgency = CONTROL if protector is protect_rtcp else PICTURE
            self._write((wire.stream,), 1, self._lengths[0], urgency)
            return
        header = self._single.msg_hdr
        header.msg_name = ffi.cast("void *", wire.address)
        header.msg_namelen = wire.address_length
        self._single_vector.iov_len = self._lengths[0]
        self._send(self._single, 1)
