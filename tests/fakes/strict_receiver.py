"""A receiver that forgives nothing: what a slot's packets must be for libwebrtc to play them.

Here: `StreamAudit` takes one SSRC's packets in the order of their numbers and notes each breach:
numbers used twice or left out, frames cut short, timestamps that do not rise, picture ids and
TL0PICIDX out of step (RFC 7741 §4.2, RFC 9628 §4.2), frames whose references never came. Not
here: time, loss, asking again (lesson_viewer).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from relay.media import dependency_descriptor, rtp, vp8, vp9
from relay.media.seqno import delta32
from tests.fakes.lesson_frames import Tag, read_tag


@dataclass(frozen=True, slots=True)
class Shown:
    """A frame that could be decoded. arrived: when its last packet came, seconds."""

    tag: Tag
    timestamp: int
    key: bool
    arrived: float


@dataclass(slots=True)
class StreamAudit:
    """codecs: payload type → codec name. descriptor_id: extension of the dependency descriptor.

    first: number of the first packet that came, None before."""

    codecs: dict[int, str]
    descriptor_id: int = 0
    faults: list[str] = field(default_factory=list)
    shown: list[Shown] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)
    padding: int = 0
    packets: int = 0
    first: int | None = None
    _next: int | None = None
    _timestamp: int | None = None
    _frame: list[tuple[bytes, rtp.RtpHeader, float]] = field(default_factory=list)
    _decoded: dict[int, set[int]] = field(default_factory=dict)
    _numbers: set[int] = field(default_factory=set)
    _reader: dependency_descriptor.Reader = field(default_factory=dependency_descriptor.Reader)
    _picture: tuple[int, int] | None = None
    _tl0: int | None = None
    _lost_before: bool = False
    _stream: int = -1
    _raw: int = 0

    def feed(self, number: int, data: bytes, arrived: float) -> None:
        """The packet with unwrapped sequence `number`; call in rising order, each number once."""
        if self._next is not None and number < self._next:
            self._fault(number, "came after it had been given up")
            return
        if self._next is not None and number != self._next:
            self.missing.extend(range(self._next, number))
            self._finish()
            self._lost_before = True
        if self.first is None:
            self.first = number
        self._next = number + 1
        self.packets += 1
        header = rtp.parse(data)
        if header.payload_end == header.payload_offset:
            self.padding += 1
            return
        if header.payload_type not in self.codecs:
            self._fault(number, f"payload type {header.payload_type} was not agreed")
            return
        if self.codecs[header.payload_type] in ("opus", "red"):
            self._voice(number, data, header, arrived)
            return
        if self._frame and self._frame[0][1].timestamp != header.timestamp:
            self._finish()
        self._frame.append((data, header, arrived))
        if header.marker:
            self._finish()

    def flush(self) -> None:
        """Judge the last frame too."""
        self._finish()

    def _fault(self, number: int, text: str) -> None:
        self.faults.append(f"{number & 0xFFFF}: {text}")

    def _rises(self, number: int, timestamp: int, *, lost_before: bool = False) -> None:
        before, self._timestamp = self._timestamp, timestamp
        if lost_before and timestamp == before:
            return  # the rest of a frame that a loss has cut
        if before is not None and delta32(timestamp, before) <= 0:
            self._fault(number, f"timestamp {timestamp} is not after {before}")

    def _voice(self, number: int, data: bytes, header: rtp.RtpHeader, arrived: float) -> None:
        self._rises(number, header.timestamp)
        tag = read_tag(data[header.payload_offset : header.payload_end])
        self.shown.append(Shown(tag, header.timestamp, False, arrived))

    def _finish(self) -> None:
        frame, self._frame = self._frame, []
        if not frame:
            return
        lost_before, self._lost_before = self._lost_before, False
        number = frame[0][1].sequence_number
        tags = [read_tag(data[head.payload_offset : head.payload_end]) for data, head, _ in frame]
        tag, head = tags[0], frame[0][1]
        self._rises(number, head.timestamp, lost_before=lost_before)
        if any((one.stream, one.frame) != (tag.stream, tag.frame) for one in tags):
            self._fault(number, "two frames under one timestamp")
            return
        codec = self.codecs[head.payload_type]
        skipped = 1 if codec == "h264" and not tag.leans_on else 0  # a delimiter may be left out
        indices = [one.index for one in tags]
        if indices not in (list(range(tag.count)), list(range(skipped, tag.count))):
            if not lost_before and not self.missing:
                self._fault(number, f"frame {tag.frame} is cut: {indices} of {tag.count}")
            self._lost_before = True
            return
        if not frame[-1][1].marker:
            self._fault(number, f"frame {tag.frame} ends without its marker")
        self._continuity(number, codec, frame[0][0], head, tag, lost_before)
        key = not tag.leans_on
        if key:
            self._decoded[tag.stream] = set()
        decoded = self._decoded.setdefault(tag.stream, set())
        absent = [one for one in tag.leans_on if one not in decoded]
        if absent:
            self._fault(number, f"frame {tag.frame} of {tag.stream} leans on {absent}, never shown")
            return
        decoded.add(tag.frame)
        arrived = max(when for _, _, when in frame)
        self.shown.append(Shown(tag, head.timestamp, key, arrived))

    # Picture numbers, as RtpVp8RefFinder, RtpVp9RefFinder and RtpGenericFrameRefFinder need them

    def _continuity(
        self, number: int, codec: str, data: bytes, head: rtp.RtpHeader, tag: Tag, lost: bool
    ) -> None:
        found = rtp.find_extension(data, head, self.descriptor_id) if self.descriptor_id else None
        if found is not None:
            self._descriptor(number, data, found, tag)
            return
        if codec not in ("vp8", "vp9"):
            return
        parser = vp8.parse if codec == "vp8" else vp9.parse
        info = parser(data, head.payload_offset, head.payload_end, head.marker)
        assert info.picture_id is not None
        assert info.tl0picidx is not None
        if tag.stream != self._stream and tag.leans_on:
            self._fault(number, "another encoder's frames begin without a keyframe")
        before, self._picture = self._picture, (info.picture_id, info.picture_id_bits)
        raw, self._raw = self._raw, tag.frame
        same, self._stream = self._stream == tag.stream, tag.stream
        if before is not None and not lost:
            step = (info.picture_id - before[0]) & ((1 << info.picture_id_bits) - 1)
            # VP9's tell how far references reach, so what is left out stays a gap in them; before
            # a keyframe either will do.
            expected = [1] if codec == "vp8" or not same or not tag.leans_on else []
            if codec == "vp9" and same:
                expected.append(tag.frame - raw)
            if step not in expected:
                self._fault(number, f"{codec} picture id moves by {step}, not {expected}")
        if self._tl0 is not None and not lost:
            moved = (info.tl0picidx - self._tl0) & 0xFF
            if moved != (tag.temporal == 0):
                self._fault(number, f"TL0PICIDX moves by {moved} at temporal id {tag.temporal}")
        self._tl0 = info.tl0picidx

    def _descriptor(self, number: int, data: bytes, found: tuple[int, int], tag: Tag) -> None:
        read = self._reader.read(data, *found)
        if read is None:
            self._fault(number, "a descriptor without its structure")
            return
        if not tag.leans_on:
            if not read.keyframe:
                self._fault(number, "a keyframe that brings no structure")
            self._numbers.clear()
        if read.frame_number in self._numbers:
            self._fault(number, f"frame number {read.frame_number} is used twice")
        if self._picture is not None:
            step = (read.frame_number - self._picture[0]) & 0xFFFF
            if not 0 < step < 0x8000:
                self._fault(number, f"frame number goes back by {-step & 0xFFFF}")
        for diff in read.frame_diffs:
            if (read.frame_number - diff) & 0xFFFF not in self._numbers:
                self._fault(number, f"frame {tag.frame} refers {diff} back to a frame not shown")
        self._numbers.add(read.frame_number)
        self._picture = (read.frame_number, 16)
