"""The one seam through which media leaves: `fan_out(runs)`, one system call for a batch.

What differs from viewer to viewer (sequence number, timestamp, transport-wide number) is written
for a whole batch at once by numpy, then each packet is protected in place; no line of Python runs
per packet, nothing is allocated, awaited, locked or logged. Consecutive packets of one size to the
same viewer are one datagram train (UDP_SEGMENT) where the way there takes it; the last may be
smaller, so a voice that leaves together with a picture ends the picture's train. Measured by
`python -m tests.bench fanout`. A little longer than other files: all that is written into a packet
on its way out, and what lies ready for it, stands here.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np

from classroom.clock import Clock
from relay.sfu.leg import Leg
from relay.sfu.members import Members
from relay.sfu.packet import Outgoing, patch_picture
from relay.sfu.sink import Run
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
from relay.transport.send_log import FORGOTTEN, SendLogs
from relay.transport.wire import CONTROL, PICTURE, VOICE, FrameStream, Wire

# Destinations per batch, at most: what a batch of pictures takes stays within a core's own cache,
# and the first ones wait little for the last; a voice is so small that more of them go together.
_BATCH: Final = 72
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
# Ways in which pictures and voices left together lately.
_PLANS: Final = 16
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

    apart: trains that the way to a destination did not take, sent packet by packet. forgotten: not
    sent again, since it is not known any more how they left.
    """

    packets: int = 0
    calls: int = 0
    dropped: int = 0
    failed: int = 0
    protect_failed: int = 0
    apart: int = 0
    forgotten: int = 0


def _may_lead(run: Run[Wire]) -> bool:
    """Whether a voice may end the trains of this run: pictures, of one size."""
    packets, legs = run
    return (
        isinstance(legs, Members)
        and bool(legs)
        and legs[0].spec.kind == "video"
        and len(packets) < _TRAIN
        and len(packets[-1].data) == len(packets[0].data)
    )


def _may_end(run: Run[Wire], most: int) -> bool:
    """Whether this run may end trains of packets of `most` bytes: one packet of a voice."""
    packets, legs = run
    return (
        isinstance(legs, Members)
        and bool(legs)
        and legs[0].spec.kind == "audio"
        and len(packets) == 1
        and len(packets[0].data) <= most
    )


def _own(packet: bytearray) -> int:
    """SSRC << 16 | sequence number."""
    return int.from_bytes(packet[8:12]) << 16 | packet[2] << 8 | packet[3]


class _Part:
    """What is written into the packets of one run, leg by leg."""

    __slots__ = ("lifted", "own", "pictures", "shifted")

    def __init__(self, legs: Sequence[Leg[Wire]]) -> None:
        self.own: Integers | None = None
        """Of legs whose packets may leave again as they are: SSRC << 16."""
        if not all(leg.spec.has_rtx for leg in legs):
            self.own = np.array([leg.spec.ssrc << 16 for leg in legs])
        self.shifted: Integers = np.array([leg.sequence_offset for leg in legs])
        self.lifted: Integers = np.array([leg.timestamp_offset for leg in legs])
        self.pictures = [
            (index, leg.picture_offset, leg.tl0_offset)
            for index, leg in enumerate(legs)
            if leg.picture_offset or leg.tl0_offset
        ]


class _Batch:
    """Destinations laid out for sending: what does not change from packet to packet."""

    __slots__ = (
        "contexts",
        "count",
        "messages",
        "parts",
        "rows",
        "size",
        "streams",
        "tag",
        "urgency",
        "words",
    )

    def __init__(
        self,
        legs: Sequence[Leg[Wire]],
        tails: Sequence[Leg[Wire]],
        vectors: int,
        vector_bytes: int,
    ) -> None:
        """vectors: address of the first destination's iovecs; vector_bytes: from one to the next.

        legs: all with one length of authentication tag. tails: legs of the same wires, for what
        ends their trains; or none.
        """
        self.size = len(legs)
        self.tag = legs[0].wire.tag
        first = legs[0].wire.stream
        self.streams = None if first is None else [leg.wire.stream for leg in legs]
        """Of a batch whose destinations all are streams, which none of another batch is."""
        self.urgency = PICTURE if legs[0].spec.kind == "video" else VOICE
        self.rows: Integers = np.array([leg.wire.row for leg in legs])
        self.parts = (_Part(legs), _Part(tails)) if tails else (_Part(legs),)
        """One for each run that is sent to this batch at once."""
        self.messages: CData = ffi.new("struct mmsghdr[]", self.size)
        self.words = np.frombuffer(ffi.buffer(self.messages), np.uint64).reshape(-1, _WORDS)
        self.words[:, _NAME] = [leg.wire.address for leg in legs]
        self.words[:, _NAME_LENGTH] = [leg.wire.address_length for leg in legs]
        self.words[:, _VECTOR] = vectors + vector_bytes * np.arange(self.size)
        self.count = 0
        """Packets per destination that the headers are set for."""
        self.contexts: dict[int, list[CData]] = {1: [leg.wire.tx for leg in legs]}
        """By packets per destination: whose SRTP context protects which packet."""

    def set_count(self, count: int, control: int) -> None:
        """From now on `count` packets each. control: address of what says their size."""
        self.count = count
        self.words[:, _VECTORS] = count
        self.words[:, _CONTROLS] = control if count > 1 else 0
        self.words[:, _CONTROL_LENGTH] = _CONTROL if count > 1 else 0
        if count not in self.contexts:
            self.contexts[count] = [one for one in self.contexts[1] for _ in range(count)]


@dataclass(frozen=True, slots=True)
class _Plan:
    """How a picture's run and voices leave together; good while the `tables` are the members'."""

    tables: tuple[object, ...]
    sends: tuple[tuple[tuple[int, ...], list[_Batch]], ...]
    """Which of the runs go to which batches: the picture's is 0, the voices follow."""


class NativeFanOut:
    """Sends to many peers from one UDP socket. Used from one thread only."""

    def __init__(self, fd: int, logs: SendLogs, clock: Clock) -> None:
        """clock: tells the time of sending, seconds; the one that feedback is read by."""
        self._fd = fd
        self.logs = logs
        self._clock = clock
        self.counters = SendCounters()
        self._refused = 0
        self._plans: dict[tuple[int, ...], _Plan] = {}
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

    def fan_out(self, runs: Sequence[Run[Wire]], now: float) -> None:
        """Send of each run every packet to every leg, see `FanOut`; 1 to 12 packets in a run.

        now: when that was decided. On a busy machine the last batch leaves long after it, which
        would be taken for a queue on the link: what is remembered is when each batch leaves.
        """
        if self._refused >= _REFUSALS:
            runs = [((packet,), legs) for run, legs in runs for packet in run]
        elif len(runs) > 1:
            runs = self._send_joined(runs)
        for run, legs in runs:
            for batch in self._batches(legs):
                self._send_batch((run,), batch)

    def _send_joined(self, runs: Sequence[Run[Wire]]) -> Sequence[Run[Wire]]:
        """Send the first run of pictures that voices can end the trains of, with them, and what
        comes before it; returns what is left."""
        lead = next((index for index, run in enumerate(runs) if _may_lead(run)), None)
        if lead is None:
            return runs
        most = len(runs[lead][0][0].data)
        tails = [index for index, run in enumerate(runs) if _may_end(run, most)]
        if not tails:
            return runs
        for run, legs in (one for index, one in enumerate(runs[:lead]) if index not in tails):
            for batch in self._batches(legs):
                self._send_batch((run,), batch)
        joined = [runs[lead], *(runs[index] for index in tails)]
        for which, batches in self._plan([legs for _, legs in joined]).sends:
            for batch in batches:
                self._send_batch([joined[index][0] for index in which], batch)
        return [run for index, run in enumerate(runs) if index > lead and index not in tails]

    def _plan(self, together: Sequence[Sequence[Leg[Wire]]]) -> _Plan:
        """together: members of the picture's group, then of the voices' groups."""
        tables = tuple(map(self._batches, together))
        key = tuple(map(id, together))
        plan = self._plans.get(key)
        # The plan keeps the tables, so that another cannot be taken for one of them.
        if plan is None or any(a is not b for a, b in zip(plan.tables, tables, strict=True)):
            if len(self._plans) >= _PLANS:
                self._plans.clear()
            plan = self._plans[key] = _Plan(tables, tuple(self._lay_out_joined(together)))
        return plan

    def _lay_out_joined(
        self, together: Sequence[Sequence[Leg[Wire]]]
    ) -> Iterator[tuple[tuple[int, ...], list[_Batch]]]:
        lead = {leg.wire: leg for leg in together[0] if leg.wire.stream is None}
        taken: set[Wire] = set()
        alone: list[tuple[tuple[int, ...], list[_Batch]]] = []
        for index, legs in enumerate(together[1:], 1):
            both = [leg for leg in legs if leg.wire in lead and leg.wire not in taken]
            taken.update(leg.wire for leg in both)
            if both:
                yield (0, index), self._lay_out([lead[leg.wire] for leg in both], both)
            ends = set(map(id, both))
            alone.append(((index,), self._lay_out([leg for leg in legs if id(leg) not in ends])))
        yield (0,), self._lay_out([leg for leg in together[0] if leg.wire not in taken])
        yield from alone

    def _batches(self, legs: Sequence[Leg[Wire]]) -> list[_Batch]:
        if not isinstance(legs, Members):
            return self._lay_out(legs)
        batches: list[_Batch] | None = legs.table
        if batches is None:
            batches = legs.table = self._lay_out(legs)
        return batches

    def _lay_out(self, legs: Sequence[Leg[Wire]], tails: Sequence[Leg[Wire]] = ()) -> list[_Batch]:
        vectors = int(ffi.cast("uintptr_t", self._vectors))
        most = _BATCH if legs and legs[0].spec.kind == "video" else _VOICES
        batches: list[_Batch] = []
        # Who is on a stream costs the others nothing: they are batches apart.
        for tag, streams in product(self._controls, (False, True)):
            alike = [
                index
                for index, leg in enumerate(legs)
                if leg.wire.tag == tag and (leg.wire.stream is not None) is streams
            ]
            # Equal ones: a batch of a few costs nearly as much as a full one.
            batches_here = -(-len(alike) // most)
            for number in range(batches_here):
                first, end = (len(alike) * at // batches_here for at in (number, number + 1))
                some = alike[first:end]
                ends = [tails[index] for index in some] if tails else ()
                size = _TRAIN * ffi.sizeof("struct iovec")
                batches.append(_Batch([legs[index] for index in some], ends, vectors, size))
        return batches

    def _send_batch(self, runs: Sequence[Sequence[Outgoing]], batch: _Batch) -> None:
        """runs: one for each part of the batch."""
        now = self._clock()
        count, legs, tag, size = 0, batch.size, batch.tag, len(runs[0][0].data)
        for run, part in zip(runs, batch.parts, strict=True):
            self._write_run(run, part, batch, count, now)
            count += len(run)
        control = self._controls[tag]
        if count != batch.count:
            batch.set_count(count, int(ffi.cast("uintptr_t", control)))
        pointers, lengths = self._places.get(count) or self._lay_places(count)
        refused = list(map(protect, batch.contexts[count], pointers, lengths))
        if any(refused):
            self._clear(refused, count)
        if batch.streams is not None:
            self._write(batch.streams, [len(one.data) + tag for one in runs[0]], batch.urgency)
            return
        if count > 1:
            ffi.buffer(control)[0:18] = _segment_control(18, SOL_UDP, UDP_SEGMENT, size + tag)
        self._send(batch.messages, legs, count)

    def _write_run(
        self, run: Sequence[Outgoing], part: _Part, batch: _Batch, first: int, now: float
    ) -> None:
        """Write `run` into the slots of every destination, from their packet `first` on."""
        legs, end = batch.size, first + len(run)
        for packet, slots in zip(run, self._slots[first:end], strict=True):
            slots[:legs, : len(packet.data)] = np.frombuffer(packet.data, np.uint8)
        sequences = np.array([[packet.sequence] for packet in run])
        self._sequences[first:end, :legs] = sequences + part.shifted
        timestamps = np.array([[packet.timestamp] for packet in run])
        self._timestamps[first:end, :legs] = timestamps + part.lifted
        sizes = np.array([len(packet.data) for packet in run])
        protected = sizes + batch.tag
        if run[0].twcc_offset:
            numbers = self.logs.sent(batch.rows, protected, now)
            if part.own is not None:
                packets = part.own + (sequences + part.shifted & 0xFFFF)
                self.logs.keep(batch.rows, packets, numbers)
            self._transport_field(run[0].twcc_offset)[first:end, :legs] = numbers
        if part.pictures and any(packet.picture_offset for packet in run):
            self._patch_pictures(run, part, first)
        self._length_table[:legs, first:end] = sizes
        self._vector_sizes[:legs, first:end] = protected

    def _patch_pictures(self, run: Sequence[Outgoing], part: _Part, first: int) -> None:
        """The few legs whose source changed have picture ids of their own."""
        for index, picture, tl0 in part.pictures:
            for k, packet in enumerate(run, first):
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
        self, streams: Sequence[FrameStream | None], sizes: Sequence[int], urgency: int
    ) -> None:
        """Write what lies in the slots to the streams; each takes what it has room for.

        sizes: of each stream's packets, protected.
        """
        for index, stream in enumerate(streams):
            if stream is None:
                continue
            for k, size in enumerate(sizes):
                start = (k * _VOICES + index) * _SLOT
                if stream.send(self._view[start : start + size], urgency):
                    self.counters.packets += 1
                else:
                    self.counters.dropped += 1

    def _send(self, messages: CData, destinations: int, packets: int = 1) -> None:
        """Send one datagram, or one train of `packets`, to each destination."""
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

    def send_rtp(
        self,
        wire: Wire,
        packet: bytearray,
        twcc_offset: int,
        now: float,
        *,
        again: bool | None = None,
    ) -> None:
        """Send one RTP packet made for one peer: a repair, a cached frame, padding.

        `packet` is complete but for the transport-wide number at `twcc_offset` (0: none). again:
        see `FanOut`.
        """
        if twcc_offset:
            own = 0
            number: int | None = None
            if again is not None:
                own = _own(packet)
                number = self.logs.number_of(wire.row, own) if again else None
            if number == FORGOTTEN:
                self.counters.forgotten += 1
                return
            if number is None:
                number = self.logs.sent_one(wire.row, len(packet) + wire.tag, self._clock())
                if again is not None:
                    self.logs.keep_one(wire.row, own, number)
            else:
                wire.note_again(number)
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
            self._write((wire.stream,), (self._lengths[0],), urgency)
            return
        header = self._single.msg_hdr
        header.msg_name = ffi.cast("void *", wire.address)
        header.msg_namelen = wire.address_length
        self._single_vector.iov_len = self._lengths[0]
        self._send(self._single, 1)
