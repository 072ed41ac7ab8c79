"""A light viewer whose packets carry the kernel's own time of arrival.

The delay from the publisher's send to the viewer's socket is then free of this program's own
scheduling: the sender notes the time just before its system call, the kernel stamps the arrival
(see `arrivals`), and both read the same clock.
"""

from __future__ import annotations

import struct
from array import array
from typing import Any, Final

from classroom.clock import monotonic, wall
from relay.media import rtp
from tests.bench.arrivals import SLOT, Arrivals
from tests.fakes.light_sdp import EXTENSIONS, H264, OPUS, Media
from tests.fakes.peer import LightViewer

_HEAD: Final = struct.Struct("!BBHII").unpack_from
_TWCC: Final = EXTENSIONS[rtp.TRANSPORT_CC]


class StampedViewer(LightViewer):
    """Counts packets by kind, keeps their numbers' continuity, and notes delays.

    send_times: RTP timestamp of the publisher → Unix times of sending, packet by packet, by kind;
    filled by whoever publishes. delays: seconds, of the packets received while `measuring`.
    """

    send_times: dict[str, dict[int, list[float]]] = {"voice": {}, "camera": {}}  # noqa: RUF012 one publisher for all
    measuring = False
    delays = array("d")

    def __init__(self, arrivals: Arrivals, *arguments: Any, **options: Any) -> None:
        """arguments, options: LightViewer's."""
        super().__init__(*arguments, **options)
        self._shared = arrivals
        self._shift: dict[int, int] = {}
        self._begun: dict[int, tuple[int, int]] = {}
        """SSRC → timestamp that came last, the number that its first packet has."""
        self.numbers: dict[int, tuple[int, int, int]] = {}
        """SSRC → first number, highest number (unwrapped), packets."""
        self.bytes = 0

    def sections(self) -> list[Media]:
        codecs = {"audio": (OPUS,), "video": (H264,)}
        return [Media(kind, "recvonly", codecs[kind]) for kind in self._kinds]

    def received(self) -> int:
        """Media packets so far."""
        return sum(count for _, _, count in self.numbers.values())

    def missing(self) -> int:
        """Packets that never came, between the first and the last of each stream."""
        return sum(high - first + 1 - count for first, high, count in self.numbers.values())

    def _listen(self) -> None:
        self._shared.add(self._socket, self._readable)

    def _deafen(self) -> None:
        self._shared.remove(self._socket)

    def _readable(self) -> None:
        sizes = self._shared.read(self._socket)
        now = monotonic()
        # Two hundred browsers would not wait for each other as these viewers do in one program, so
        # their feedback tells the kernel's times.
        behind = now - wall()
        view = self._shared.view
        for index, size in enumerate(sizes):
            start = index * SLOT
            first, second = view[start], view[start + 1]
            if 127 < first < 192 and not 192 <= second <= 223 and self._inbound is not None:
                self._take(start, size, index, second, now, behind)
            else:
                self._other(bytes(view[start : start + size]))

    def _take(
        self, start: int, size: int, index: int, second: int, now: float, behind: float
    ) -> None:
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
            number = shared.view[at] << 8 | shared.view[at + 1]
            self._arrivals.receive(number, shared.arrived(index) + behind)
        if not self.measuring:
            return
        arrived = shared.arrived(index)
        kind = "voice" if second & 0x7F == OPUS else "camera"
        shift = self._shift.get(ssrc)
        if shift is None:
            shift = self._find_shift(kind, ssrc, timestamp, arrived)
            if shift is None:
                return
        last = self._begun.get(ssrc)
        if last is None or last[0] != timestamp:
            self._begun[ssrc] = last = (timestamp, sequence)
        sent = self.send_times[kind].get((timestamp - shift) & 0xFFFFFFFF, ())
        place = sequence - last[1] & 0xFFFF
        if place < len(sent):
            self.delays.append(arrived - sent[place])

    def _find_shift(self, kind: str, ssrc: int, timestamp: int, arrived: float) -> int | None:
        """The relay moves timestamps to its own timeline by one constant for each stream."""
        times = self.send_times[kind].items()
        before = [(sent[0], timestamp) for timestamp, sent in times if sent[0] <= arrived]
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
