"""A light viewer whose packets carry the kernel's own time of arrival.

The delay from the publisher's send to the viewer's socket is then free of this program's own
scheduling: the sender notes the time just before its system call, the kernel stamps the arrival
(SO_TIMESTAMPNS), and both read the same clock.
"""

from __future__ import annotations

import socket
import struct
from array import array
from typing import Any, Final

from classroom.clock import monotonic
from relay.media import rtp
from relay.media.twcc import ArrivalLog
from relay.transport.native import CData, ffi, libc, new_buffer
from tests.fakes.light_sdp import EXTENSIONS, H264, OPUS, Media
from tests.fakes.peer import LightViewer

SO_TIMESTAMPNS: Final = 35  # asm-generic/socket.h
_BATCH: Final = 64
_SLOT: Final = 2048
_CONTROL: Final = 64
_HEAD: Final = struct.Struct("!BBHII").unpack_from
_STAMP: Final = struct.Struct("=QiiQQ").unpack_from
_TWCC: Final = EXTENSIONS[rtp.TRANSPORT_CC]


class _Memory:
    """Receive buffers shared by all viewers of this process, which read one after the other."""

    def __init__(self) -> None:
        self.memory, self.view, base = new_buffer(_BATCH * _SLOT)
        self.control = ffi.new("char[]", _BATCH * _CONTROL)
        self.control_view = ffi.buffer(self.control)
        self.iov = ffi.new("struct iovec[]", _BATCH)
        self.messages: CData = ffi.new("struct mmsghdr[]", _BATCH)
        self.headers: list[Any] = []
        for index in range(_BATCH):
            self.iov[index].iov_base = ffi.cast("void *", base + index * _SLOT)
            self.iov[index].iov_len = _SLOT
            header = self.messages[index].msg_hdr
            header.msg_iov = self.iov + index
            header.msg_iovlen = 1
            header.msg_control = self.control + index * _CONTROL
            self.headers.append(header)


_memory: _Memory | None = None


class StampedViewer(LightViewer):
    """Counts packets by kind, keeps their numbers' continuity, and notes delays.

    send_times: RTP timestamp of the publisher → Unix time of sending, by kind; filled by whoever
    publishes. delays: seconds, of the packets received while `measuring`.
    """

    send_times: dict[str, dict[int, float]] = {"voice": {}, "camera": {}}  # noqa: RUF012 one publisher for all
    measuring = False
    delays = array("d")

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        global _memory
        if _memory is None:
            _memory = _Memory()
        self._shared = _memory
        self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self._shift: dict[int, int] = {}
        self.numbers: dict[int, tuple[int, int, int]] = {}
        """SSRC → first number, highest number (unwrapped), packets."""
        self.bytes = 0

    def sections(self) -> list[Media]:
        codecs = {"audio": (OPUS,), "video": (H264,)}
        return [Media(kind, "recvonly", codecs[kind]) for kind in self._kinds]

    def received(self) -> int:
        """Media packets so far."""
        return sum(count for _, _, count in self.numbers.values())

    def pause_feedback(self) -> None:
        """Send no transport-wide feedback and no receiver reports."""
        self._feedback = self._reports = False
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def resume_feedback(self) -> None:
        """Send both again, as a browser does."""
        self._feedback = self._reports = True
        self._arrivals = ArrivalLog()
        self.established()

    def missing(self) -> int:
        """Packets that never came, between the first and the last of each stream."""
        return sum(high - first + 1 - count for first, high, count in self.numbers.values())

    def _readable(self) -> None:
        shared = self._shared
        for header in shared.headers:
            header.msg_controllen = _CONTROL
        fd = self._socket.fileno()
        count = libc.recvmmsg(fd, shared.messages, _BATCH, 0, ffi.NULL)
        now = monotonic()
        view = shared.view
        for index in range(count):
            start = index * _SLOT
            size = shared.messages[index].msg_len
            first, second = view[start], view[start + 1]
            if 127 < first < 192 and not 192 <= second <= 223 and self._inbound is not None:
                self._take(start, size, index, second, now)
            else:
                self._other(bytes(view[start : start + size]))

    def _take(self, start: int, size: int, index: int, second: int, now: float) -> None:
        shared = self._shared
        _, _, sequence, timestamp, ssrc = _HEAD(shared.view, start)
        self.bytes += size
        known = self.numbers.get(ssrc)
        if known is None:
            self.numbers[ssrc] = (sequence, sequence, 1)
            self.times.setdefault("first", now)
        else:
            low, high, packets = known
            ahead = ((sequence - high + 0x8000) & 0xFFFF) - 0x8000
            self.numbers[ssrc] = (low, high + ahead if ahead > 0 else high, packets + 1)
        if self._feedback:
            # The relay writes transport-wide numbers first in the extension block.
            at = start + rtp.HEADER_SIZE + 5
            self._arrivals.receive(shared.view[at] << 8 | shared.view[at + 1], now)
        if not self.measuring:
            return
        _, _, _, seconds, nanoseconds = _STAMP(shared.control_view, index * _CONTROL)
        kind = "voice" if second & 0x7F == OPUS else "camera"
        shift = self._shift.get(ssrc)
        if shift is None:
            shift = self._find_shift(kind, ssrc, timestamp, seconds + nanoseconds / 1e9)
            if shift is None:
                return
        sent = self.send_times[kind].get((timestamp - shift) & 0xFFFFFFFF)
        if sent is not None:
            self.delays.append(seconds + nanoseconds / 1e9 - sent)

    def _find_shift(self, kind: str, ssrc: int, timestamp: int, arrived: float) -> int | None:
        """The relay moves timestamps to its own timeline by one constant for each stream."""
        before = [(sent, ts) for ts, sent in self.send_times[kind].items() if sent <= arrived]
        if not before:
            return None
        self._shift[ssrc] = (timestamp - max(before)[1]) & 0xFFFFFFFF
        return self._shift[ssrc]

    def _other(self, data: bytes) -> None:
        """Everything but media goes the way of every light peer."""
        first = data[0] if data else 0
        if 127 < first < 192:
            if self._inbound is not None:
                self.receive_rtcp(self._inbound.unprotect_rtcp(data), monotonic())
        elif first < 4:
            self._stun(data)
        elif 19 < first < 64:
            self._wire.received.put_nowait(data)
