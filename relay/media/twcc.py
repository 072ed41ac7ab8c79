"""Transport-wide congestion control feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01).

Here: `parse` for what peers report of our packets, `ArrivalClock` for the wrap of their reference
time, and `ArrivalLog`, which notes arrivals of a peer's packets and writes feedback. Not here: any
estimate of bandwidth. A tick is the format's unit of 250 µs; reference times count 64 ms = 256
ticks. Raises only RtcpError.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from relay.media.rtcp_error import RtcpError
from relay.media.rtp import Buffer
from relay.media.seqno import Unwrapper

TICK_S: Final = 0.00025
TICKS_PER_REFERENCE: Final = 256
REFERENCE_S: Final = 0.064

# Vector chunks repeat: most are decoded once and then found again. At most this many are kept.
_VECTORS_KEPT: Final = 2048
_MAX_RUN: Final = 0x1FFF
# A run of losses costs its sender two bytes and us an entry each, so the reports of one datagram
# have a limit: far more than any viewer is sent between two of them, little enough to read in half
# a millisecond.
MAX_REPORTED: Final = 8192

# One report stays well inside a datagram of 1,200 bytes: this many arrivals cost 2 bytes each at
# the most, besides their chunks.
MAX_ARRIVALS: Final = 400
# Sequence numbers that one report may span; a larger jump is a new start.
MAX_SPAN: Final = 8000
# Arrivals already reported are kept so long, so that a late packet before them can be told of
# (the same as in libwebrtc).
BACK_WINDOW_S: Final = 0.5

_FIXED = struct.Struct("!IIHHI")
_COUNTED = struct.Struct("!HHIH")
_HEAD = struct.Struct("!BBH")
_U16 = struct.Struct("!H")
_I16 = struct.Struct("!h")

_vectors: dict[int, tuple[int, ...]] = {}


@dataclass(slots=True)
class TransportFeedback:
    """What one report says of the packets from `base_seq` on."""

    sender_ssrc: int
    media_ssrc: int
    base_seq: int
    """Transport-wide sequence number, 16 bits, of the first entry of `arrivals`."""
    feedback_count: int
    """8 bits, rising by one with each report: a jump means that reports were lost."""
    reference: int
    """On the peer's clock, 24 bits, in units of `REFERENCE_S`; it wraps (see ArrivalClock)."""
    arrivals: list[float | None]
    """Seconds on the peer's clock at which each packet arrived, None for one that did not."""


def _vector(chunk: int) -> tuple[int, ...]:
    if chunk & 0x4000:
        symbols = tuple(chunk >> shift & 3 for shift in range(12, -1, -2))
    else:
        symbols = tuple(chunk >> shift & 1 for shift in range(13, -1, -1))
    if len(_vectors) >= _VECTORS_KEPT:
        _vectors.clear()
    _vectors[chunk] = symbols
    return symbols


def parse(data: Buffer, offset: int, end: int) -> TransportFeedback:
    """Read the feedback packet whose RTCP header is at `offset`; its padding begins at `end`."""
    if offset + 22 > end:  # fixed part and at least one chunk
        raise RtcpError("twcc: shorter than its fixed part")
    sender_ssrc, media_ssrc, base_seq, count, times = _FIXED.unpack_from(data, offset + 4)
    if not 0 < count <= MAX_REPORTED:
        raise RtcpError("twcc: reports no packet, or too many")
    reference = times >> 8
    position = offset + 20
    symbols: list[int] = []
    extend = symbols.extend
    have = 0
    while have < count:
        if position + 2 > end:
            raise RtcpError("twcc: ends inside the chunks")
        chunk = data[position] << 8 | data[position + 1]
        position += 2
        if chunk & 0x8000:
            vector = _vectors.get(chunk) or _vector(chunk)
            extend(vector)
            have += len(vector)
        else:
            run = chunk & _MAX_RUN
            if run > count - have:
                run = count - have
            elif run == 0:
                raise RtcpError("twcc: empty run")
            extend((chunk >> 13,) * run)
            have += run
    if have > count:
        del symbols[count:]
    ticks = reference * TICKS_PER_REFERENCE
    arrivals: list[float | None]
    if symbols.count(1) == count and position + count <= end:
        # Nothing is missing and no gap is long: most reports of most links.
        sums = accumulate(data[position : position + count], initial=ticks)
        arrivals = [tick * TICK_S for tick in sums][1:]
        return TransportFeedback(
            sender_ssrc, media_ssrc, base_seq, times & 0xFF, reference, arrivals
        )
    arrivals = []
    append = arrivals.append
    for symbol in symbols:
        if symbol == 0:
            append(None)
            continue
        if symbol == 1:
            if position >= end:
                raise RtcpError("twcc: ends inside the deltas")
            ticks += data[position]
            position += 1
        elif symbol == 2:
            if position + 2 > end:
                raise RtcpError("twcc: ends inside the deltas")
            ticks += ((data[position] << 8 | data[position + 1]) ^ 0x8000) - 0x8000
            position += 2
        else:
            raise RtcpError("twcc: reserved symbol")
        append(ticks * TICK_S)
    return TransportFeedback(sender_ssrc, media_ssrc, base_seq, times & 0xFF, reference, arrivals)


def glance(data: Buffer) -> tuple[int, int, int, float, float] | None:
    """What a datagram says that is one report of no loss and no long gap, None of any other.

    Returns base_seq, the number of packets, reference, and when the first and the last of them
    arrived, seconds on the peer's clock; all as in `TransportFeedback`.
    """
    size = len(data)
    if size < 24 or data[0] & 0xDF != 0x8F or data[1] != 205:
        return None
    base_seq, count, times, chunk = _COUNTED.unpack_from(data, 12)
    # One run of small deltas, a byte each.
    end = 22 + count
    padding = data[-1] if data[0] & 0x20 else 0
    if not 0 < count <= _MAX_RUN or chunk != 0x2000 | count or end + padding != size:
        return None
    if size != 4 + 4 * (data[2] << 8 | data[3]) or (data[0] & 0x20 and not padding):
        return None
    reference = times >> 8
    ticks = reference * TICKS_PER_REFERENCE
    last = ticks + sum(data[22:end])
    return base_seq, count, reference, (ticks + data[22]) * TICK_S, last * TICK_S


class ArrivalClock:
    """Keeps a peer's arrival times growing across the wrap of its reference time, which comes
    every 12.4 days of the peer's clock and so may come during any lesson."""

    __slots__ = ("_reference",)

    def __init__(self) -> None:
        self._reference = Unwrapper(24)

    def offset(self, reference: int) -> float:
        """Seconds to add to every arrival of a report with this reference time."""
        return (self._reference.unwrap(reference) - reference) * REFERENCE_S


class ArrivalLog:
    """Notes when packets of one transport arrived and writes the feedback about them.

    `receive` each packet that carries the extension, then call `build` every 50 to 100 ms until
    it gives None.
    """

    __slots__ = ("_arrivals", "_count", "_floor", "_fresh", "_next", "_seqs")

    def __init__(self) -> None:
        self._seqs = Unwrapper(16)
        self._arrivals: dict[int, int] = {}
        """Extended sequence number → tick of arrival; bounded by BACK_WINDOW_S and MAX_SPAN."""
        self._floor = -1
        """Numbers below this are forgotten; one that comes now would make others look lost."""
        self._next = -1
        """First extended number that the next report covers; -1 when nothing was received."""
        self._fresh = False
        self._count = 0

    @property
    def is_due(self) -> bool:
        """Whether there is something to report."""
        return self._fresh

    def receive(self, seq: int, now: float) -> None:
        """Note 16-bit transport-wide `seq`; of a repeated number the first arrival counts."""
        before = self._seqs.highest
        extended = self._seqs.unwrap(seq)
        arrivals = self._arrivals
        if extended in arrivals:
            return
        if before >= 0 and extended - before > MAX_SPAN:
            arrivals.clear()
            self._next = -1
            self._fresh = False
        elif extended < self._floor or before - extended > MAX_SPAN:
            return
        if self._next < 0 or extended < self._next:
            self._next = extended
        arrivals[extended] = int(now / TICK_S)
        self._fresh = True

    def build(self, now: float, sender_ssrc: int, media_ssrc: int) -> bytes | None:
        """One report, or None when nothing new came. Call again at once: what does not fit into
        one report (time beyond a delta's 8 s, too many packets) waits for the next call."""
        if not self._fresh:
            self._forget(now)
            return None
        arrivals = self._arrivals
        base = seq = first = self._next
        highest = self._seqs.highest
        while first not in arrivals:  # ends: something is unreported
            first += 1
        if first - base > MAX_SPAN:
            base = seq = first
        reference = arrivals[first] // TICKS_PER_REFERENCE
        last = reference * TICKS_PER_REFERENCE
        symbols: list[int] = []
        deltas = bytearray()
        arrived = 0
        waiting = 0
        limit = min(highest, base + MAX_SPAN)
        while seq <= limit and arrived < MAX_ARRIVALS:
            tick = arrivals.get(seq)
            seq += 1
            if tick is None:
                waiting += 1
                continue
            delta = tick - last
            if not -0x8000 <= delta <= 0x7FFF:
                seq -= 1
                break
            if waiting:
                symbols.extend((0,) * waiting)
                waiting = 0
            if 0 <= delta <= 0xFF:
                symbols.append(1)
                deltas.append(delta)
            else:
                symbols.append(2)
                deltas += _I16.pack(delta)
            last = tick
            arrived += 1
        self._next = seq - waiting
        if seq > highest:
            self._fresh = False
        self._forget(now)
        body = _FIXED.pack(
            sender_ssrc,
            media_ssrc,
            base & 0xFFFF,
            len(symbols),
            (reference & 0xFFFFFF) << 8 | self._count,
        )
        self._count = self._count + 1 & 0xFF
        body += _chunks(symbols) + deltas
        padding = -len(body) % 4
        if padding:
            body += bytes(padding - 1) + bytes((padding,))
        return _HEAD.pack(0xAF if padding else 0x8F, 205, len(body) // 4) + body

    def _forget(self, now: float) -> None:
        """Drop what was reported and is older than the back window. Numbers arrive nearly in
        order, so the oldest come first."""
        oldest = int((now - BACK_WINDOW_S) / TICK_S)
        arrivals = self._arrivals
        forgotten = []
        for seq, tick in arrivals.items():
            if seq >= self._next or tick >= oldest:
                break
            forgotten.append(seq)
        for seq in forgotten:
            del arrivals[seq]
        if forgotten:
            self._floor = max(self._floor, max(forgotten) + 1)


def _chunks(symbols: list[int]) -> bytes:
    """Status chunks for `symbols`: runs where they are long, else vectors of 14 or 7."""
    out = bytearray()
    position = 0
    total = len(symbols)
    while position < total:
        symbol = symbols[position]
        run = 1
        most = min(total - position, _MAX_RUN)
        while run < most and symbols[position + run] == symbol:
            run += 1
        window = symbols[position : position + 14]
        wide = 2 in window[:7] or (2 in window and len(window) > 7)
        if run > 14 or run == total - position or (run >= 7 and wide):
            out += _U16.pack(symbol << 13 | run)
            position += run
        elif 2 not in window:
            word = 0x8000
            for index, each in enumerate(window):
                word |= each << 13 - index
            out += _U16.pack(word)
            position += len(window)
        else:
            word = 0xC000
            for index, each in enumerate(window[:7]):
                word |= each << 12 - 2 * index
            out += _U16.pack(word)
            position += len(window[:7])
    return bytes(out)
