"""RTP packets in order to whole, decodable video frames. PURE.

Here: where a frame begins and ends, and which frames can be decoded after a loss. Not here:
ordering (`reorder`), joining payloads (`join`), media time. After a loss everything up to the next
keyframe is left out, unless the dependency descriptor (exactly) or the temporal layer numbers of
VP8 and VP9 (RFC 7741 4.2, RFC 9628 4.2) show that a frame needs nothing of what was lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from relay.media import av1, h264, vp8, vp9
from relay.media.dependency_descriptor import Descriptor, Reader
from relay.media.frame_info import PacketInfo, PayloadError
from relay.media.rtp import DEPENDENCY_DESCRIPTOR, find_extension
from relay.media.seqno import Unwrapper
from relay.record.feed import Track
from relay.record.join import Joined, joiner
from relay.record.reorder import Item, Lost

_PARSERS: Final = {"vp8": vp8.parse, "vp9": vp9.parse, "h264": h264.parse, "av1": av1.parse}
_FRAMES_KEPT: Final = 64  # decoded frame numbers remembered; descriptors refer no further back
MAX_FRAME: Final = 16 * 2**20  # bytes; a 4K keyframe is below 4 MiB


@dataclass(frozen=True, slots=True)
class Frame:
    """A whole, decodable frame.

    first_feed: lowest feed sequence of its packets. sequence: RTP number of its last packet.
    """

    joined: Joined
    arrival: float
    first_feed: int
    sequence: int
    timestamp: int


class VideoAssembler:
    """The frames of one track. `lost` counts what was left out, for the journal."""

    def __init__(self, track: Track, *, resumed: bool) -> None:
        """resumed: the frame before the first packet to come is durable already."""
        parser = _PARSERS.get(track.codec)
        joining = joiner(track.codec, track.fmtp)
        assert parser is not None, "the lesson records no other codec"
        assert joining is not None, "the lesson records no other codec"
        self._parse = parser
        self._joiner = joining
        self._continuity = Continuity(started=resumed)
        # RFC 7741 §4.1, RFC 9628 §4.1 and AV1's format demand the marker at each picture's end;
        # RFC 6184 §5.1 tells receivers not to rely on it.
        self._is_marked = track.codec != "h264"
        self._descriptor_id = track.extensions.get(DEPENDENCY_DESCRIPTOR)
        self._reader = Reader()
        self._packets: list[Item] = []
        self._infos: list[PacketInfo] = []
        self._descriptors: list[Descriptor] = []
        self._skip: int | None = None
        self._size = 0
        self.left_out = 0
        """Frames, whole or not, that were left out since the last one given."""

    def first_feed(self) -> int | None:
        """The lowest feed sequence among packets of the unfinished frame."""
        return min((item.feed for item in self._packets), default=None)

    def receive(self, items: Iterator[Item | Lost]) -> Iterator[Frame]:
        """Give the frames that `items`, in order, complete."""
        for item in items:
            if isinstance(item, Lost):
                if self._packets:
                    self._skip = self._packets[0].header.timestamp
                self._drop()
                self._continuity.lose()
                continue
            yield from self._packet(item)

    def _packet(self, item: Item) -> Iterator[Frame]:
        header = item.header
        if header.payload_end <= header.payload_offset:
            return  # padding that probes the link
        if header.timestamp == self._skip:
            return
        if self._packets and self._packets[0].header.timestamp != header.timestamp:
            if self._is_marked:
                # Browsers throw away what waits of a frame when a keyframe is asked for, and number
                # their packets only afterwards: its end is missing without a gap.
                self._drop()
                self._continuity.lose()
            else:
                yield from self._finish()
        try:
            info, descriptor = self._read(item)
        except PayloadError:
            self._break(header.timestamp)
            return
        if not self._packets and not info.start_of_frame and self._continuity.unsure:
            # The frame's beginning may be among what was lost.
            self._break(header.timestamp)
            return
        self._skip = None
        self._packets.append(item)
        self._infos.append(info)
        if descriptor is not None:
            self._descriptors.append(descriptor)
        self._size += header.payload_end - header.payload_offset
        if self._size > MAX_FRAME:
            self._break(header.timestamp)
        elif header.marker:
            yield from self._finish()
            self._skip = header.timestamp

    def _read(self, item: Item) -> tuple[PacketInfo, Descriptor | None]:
        header = item.header
        info = self._parse(item.data, header.payload_offset, header.payload_end, header.marker)
        if self._descriptor_id is None:
            return info, None
        place = find_extension(item.data, header, self._descriptor_id)
        descriptor = self._reader.read(item.data, *place) if place else None
        if descriptor is not None:
            descriptor.apply_to(info)
        return info, descriptor

    def _break(self, timestamp: int) -> None:
        self._skip = timestamp
        self._drop()
        self._continuity.lose()

    def let_go(self) -> None:
        """Wait no longer for the rest of the frame that was begun."""
        if self._packets:
            self._break(self._packets[0].header.timestamp)

    def _drop(self) -> None:
        self.left_out += 1
        self._packets, self._infos, self._descriptors, self._size = [], [], [], 0

    def _finish(self) -> Iterator[Frame]:
        packets, infos, descriptors = self._packets, self._infos, self._descriptors
        self._packets, self._infos, self._descriptors, self._size = [], [], [], 0
        try:
            joined = self._joiner.join(packets)
        except PayloadError:
            self.left_out += 1
            self._continuity.lose()
            return
        if not self._continuity.accept(joined.key, infos[0], descriptors):
            self.left_out += 1
            return
        yield Frame(
            joined,
            packets[-1].arrival,
            min(item.feed for item in packets),
            packets[-1].header.sequence_number,
            packets[0].header.timestamp,
        )


class Continuity:
    """Which whole frames a decoder can use, given what it was given before."""

    def __init__(self, *, started: bool) -> None:
        self._waiting = not started
        """For a keyframe."""
        self.unsure = not started
        """Something was lost since the last frame given."""
        self._base: int | None = None
        self._highest_layer = 7
        self._numbers = Unwrapper(16)
        self._decoded: set[int] = set()

    def lose(self) -> None:
        self.unsure = True

    def accept(self, key: bool, info: PacketInfo, descriptors: list[Descriptor]) -> bool:
        """Whether the next whole frame is decodable; it then counts as decoded."""
        numbers = [self._numbers.unwrap(each.frame_number) for each in descriptors[:1]]
        decodable = self._is_decodable(key, info, descriptors)
        if key:
            self._decoded.clear()
        if not decodable:
            return False
        self._waiting = self.unsure = False
        if info.tl0picidx is not None:
            self._base = info.tl0picidx
        for descriptor in descriptors:
            self._decoded.add(self._numbers.peek(descriptor.frame_number))
        if numbers and len(self._decoded) > 2 * _FRAMES_KEPT:
            self._decoded = {n for n in self._decoded if n > numbers[0] - _FRAMES_KEPT}
        return True

    def _is_decodable(self, key: bool, info: PacketInfo, descriptors: list[Descriptor]) -> bool:
        if key:
            self._highest_layer = 7
            return True
        if self._waiting:
            return False
        if descriptors and self._decoded:
            own = {self._numbers.peek(each.frame_number) for each in descriptors}
            return all(
                self._numbers.peek(each.frame_number) - diff in self._decoded | own
                for each in descriptors
                for diff in each.frame_diffs
            )
        if self.unsure and not self._survives(info):
            self._waiting = True
            return False
        if info.temporal_id > self._highest_layer:
            if not info.layer_sync:
                return False
            self._highest_layer = info.temporal_id
        return True

    def _survives(self, info: PacketInfo) -> bool:
        """Whether the base layer is whole although something was lost before this frame."""
        if info.tl0picidx is None or self._base is None:
            return False
        expected = (self._base + 1) & 0xFF if info.temporal_id == 0 else self._base
        if info.tl0picidx != expected:
            return False
        self._highest_layer = 0
        return True
