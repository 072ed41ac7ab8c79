"""Frames of a pretended encoder, in real RTP payload formats: what a browser would send, made up.

Here: payloads of VP8 (RFC 7741), VP9 (RFC 9628), H.264 (RFC 6184), AV1 with its dependency
descriptor, and Opus; in each one a `Tag` that says which frame it is and what that frame leans
on, so that a receiver can tell whether it could have decoded it. Not here: RTP headers, time.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from tests.relay.bit_writer import BitWriter

_TAG: Final = struct.Struct("!4sIIHHBBIId")
_MAGIC: Final = b"FRAM"
TAG_SIZE: Final = _TAG.size

# Pattern: (temporal id, may one begin this layer here, which layers it leans on).
Pattern = tuple[tuple[int, bool, tuple[int, ...]], ...]
ONE_LAYER: Final[Pattern] = ((0, False, (0,)),)
# What libwebrtc makes of VP8: the second frame of the middle layer leans on the first one.
VP8_LAYERS: Final[Pattern] = (
    (0, False, (0,)),
    (2, True, (0,)),
    (1, True, (0,)),
    (2, False, (0, 1)),
    (0, False, (0,)),
    (2, False, (0, 1)),
    (1, False, (0, 1)),
    (2, False, (0, 1)),
)
# L1T3 as VP9 and AV1 have it: nothing reaches back over a frame of the base layer.
SVC_LAYERS: Final[Pattern] = (
    (0, False, (0,)),
    (2, True, (0,)),
    (1, True, (0,)),
    (2, True, (1,)),
)

_SWITCH, _REQUIRED, _DISCARDABLE, _ABSENT = 2, 3, 1, 0
# Steps to the next template, indications of three decode targets, frame diffs, chain diff.
_TEMPLATES: Final = (
    (0, (_SWITCH, _SWITCH, _SWITCH), (), 0),
    (1, (_SWITCH, _SWITCH, _SWITCH), (4,), 4),
    (1, (_ABSENT, _DISCARDABLE, _SWITCH), (2,), 2),
    (0, (_ABSENT, _ABSENT, _DISCARDABLE), (1,), 1),
    (3, (_ABSENT, _ABSENT, _DISCARDABLE), (1,), 3),
)


@dataclass(frozen=True, slots=True)
class Tag:
    """stream: one encoder's life. frame: its count. index, count: the packet within its frame.

    leans_on: frames of the same stream that must have been decoded; empty for a keyframe.
    captured: true time, seconds.
    """

    stream: int
    frame: int
    index: int
    count: int
    temporal: int
    leans_on: tuple[int, ...]
    captured: float

    def pack(self) -> bytes:
        first, second = (*self.leans_on, 0, 0)[:2]
        return _TAG.pack(
            _MAGIC,
            self.stream,
            self.frame,
            self.index,
            self.count,
            self.temporal,
            len(self.leans_on),
            first,
            second,
            self.captured,
        )


def read_tag(payload: bytes) -> Tag:
    """The tag at the end of a payload."""
    magic, stream, frame, index, count, temporal, leans, first, second, captured = _TAG.unpack_from(
        payload, len(payload) - TAG_SIZE
    )
    assert magic == _MAGIC, "the payload was damaged on its way"
    return Tag(stream, frame, index, count, temporal, (first, second)[:leans], captured)


@dataclass(frozen=True, slots=True)
class Piece:
    """One packet's payload, and the dependency descriptor that goes with it, if any."""

    payload: bytes
    descriptor: bytes | None


class Encoder:
    """One layer of one video source. `count`: frames so far."""

    def __init__(
        self, codec: str, stream: int, pattern: Pattern, start: int, *, delimiter: bool = False
    ) -> None:
        """start: the first picture id, TL0PICIDX and frame number (cut to their widths).

        delimiter: H.264 keyframes begin with an access unit delimiter in a packet of its own, and
        with parameter sets one by one.
        """
        self.codec = codec
        self.stream = stream
        self.count = 0
        self._pattern = pattern
        self._start = start
        self._tl0 = start - 1
        self._position = 0
        self._newest: dict[int, int] = {}
        self._delimiter = delimiter

    def encode(self, key: bool, packets: int, size: int, captured: float) -> list[Piece]:
        """The next frame in `packets` packets of about `size` bytes (of the highest temporal
        layer; lower ones have larger frames)."""
        if not self.count or key:
            key, self._position = True, 0
        temporal, sync, leans = self._pattern[self._position % len(self._pattern)]
        after_base = self._position % 4 == 1
        self._position += 1
        leans_on = () if key else tuple(self._newest[layer] for layer in leans)
        if key:
            self._newest = dict.fromkeys(range(3), self.count)
        self._newest[temporal] = self.count
        if temporal == 0:
            self._tl0 += 1
        number = self._start + self.count
        pieces = []
        if len(self._pattern) > 1:
            size = (3 * size, 3 * size // 2, size)[temporal]
        for index in range(packets):
            tag = Tag(self.stream, self.count, index, packets, temporal, leans_on, captured)
            body = bytes(max(0, size - TAG_SIZE)) + tag.pack()
            last = index == packets - 1
            descriptor = None
            match self.codec:
                case "vp8":
                    payload = self._vp8(body, key, index, temporal, sync)
                case "vp9":
                    payload = self._vp9(body, key, index, last, temporal, sync)
                case "av1":
                    payload = _av1(body, key, index, last)
                    descriptor = self._descriptor(key, index, last, temporal, after_base, number)
                case "h264":
                    payload = self._h264(body, key, index, last)
                case _:
                    raise AssertionError(self.codec)
            pieces.append(Piece(payload, descriptor))
        self.count += 1
        return pieces

    def _picture_id(self) -> bytes:
        return struct.pack("!H", 0x8000 | self._start + self.count & 0x7FFF)

    def _vp8(self, body: bytes, key: bool, index: int, temporal: int, sync: bool) -> bytes:
        head = bytes((0x80 | (0x10 if index == 0 else 0) | (0x20 if temporal == 2 else 0), 0xE0))
        layer = temporal << 6 | (0x20 if sync else 0)
        frame = b"\x00" if key and index == 0 else b"\x01"
        return head + self._picture_id() + bytes((self._tl0 & 0xFF, layer)) + frame + body

    def _vp9(
        self, body: bytes, key: bool, index: int, last: bool, temporal: int, sync: bool
    ) -> bytes:
        head = 0xA0 | (0 if key else 0x40) | (0x08 if index == 0 else 0) | (0x04 if last else 0)
        layer = temporal << 5 | (0x10 if sync else 0)
        return (
            bytes((head,)) + self._picture_id() + bytes((layer, self._tl0 & 0xFF)) + b"\x80" + body
        )

    def _h264(self, body: bytes, key: bool, index: int, last: bool) -> bytes:
        sets = 0
        if key and self._delimiter:
            sets = 3
            if index < 3:
                return bytes(((9, 0x67, 0x68)[index],)) + b"\x10" + body
        elif key:
            sets = 1
            if index == 0:
                units = (b"\x67\x42\xe0\x1f", b"\x68" + body)
                return b"\x78" + b"".join(struct.pack("!H", len(one)) + one for one in units)
        kind = 5 if key else 1
        first = index == sets
        if first and last:
            return bytes((0x60 | kind, 0x80)) + body
        flags = (0x80 if first else 0) | (0x40 if last else 0) | kind
        return bytes((0x7C, flags, 0x80)) + body

    def _descriptor(
        self, key: bool, index: int, last: bool, temporal: int, after_base: bool, number: int
    ) -> bytes:
        if len(self._pattern) == 1:
            template = 0 if key else 1
        else:
            template = 0 if key else (1, 2, 3 if after_base else 4)[temporal]
        bits = BitWriter().put(index == 0, 1).put(last, 1).put(template, 6).put(number & 0xFFFF, 16)
        if not (key and index == 0):
            if len(self._pattern) == 1 and not key:
                # The template says four frames back; this stream leans on the one before.
                bits.put(0b00010, 5).put(1, 2).put(0, 4).put(0, 2)
            return bits.done()
        bits.put(0b10000, 5).put(0, 6).put(2, 5)
        for step, _, _, _ in _TEMPLATES:
            bits.put(step, 2)
        for _, indications, _, _ in _TEMPLATES:
            for each in indications:
                bits.put(each, 2)
        for _, _, diffs, _ in _TEMPLATES:
            for each in diffs:
                bits.put(1, 1).put(each - 1, 4)
            bits.put(0, 1)
        bits.non_symmetric(1, 4)
        for _ in range(3):
            bits.non_symmetric(0, 1)
        for _, _, _, chain in _TEMPLATES:
            bits.put(chain, 4)
        bits.put(1, 1).put(639, 16).put(359, 16)
        return bits.done()


def _av1(body: bytes, key: bool, index: int, last: bool) -> bytes:
    """One OBU of type frame, cut into as many elements as there are packets."""
    head = 0x10 | (0x80 if index else 0) | (0 if last else 0x40)
    if key and index == 0:
        head |= 0x08
    return bytes((head,)) + (b"\x30" if index == 0 else b"") + body
