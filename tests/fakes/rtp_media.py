"""Real encoded media as RTP, for tests of the recorder: PyAV encodes, a small packetiser cuts.

Here: pictures with a pattern that moves, encoded with keyframes where the test wants them; Opus;
packets in the payload formats of RFC 6184, 7741, 9628, 7587 and of AV1; and a `Publisher` that
turns them into records of the recorder feed. Not here: networks, clocks: every time is an argument.
"""

from __future__ import annotations

import functools
import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.codec.context import CodecContext
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType, VideoFrame

from relay.media import av1, red, rtp
from relay.record.feed import End, Packet, Record, Sync, Track

os.environ.setdefault("SVT_LOG", "1")  # only errors of the AV1 encoder

MTU = 1_100
EPOCH = 1_760_000_000.0
ENCODERS = {"h264": "libx264", "vp8": "libvpx", "vp9": "libvpx-vp9", "av1": "libsvtav1"}


@dataclass(frozen=True, slots=True)
class Encoded:
    """A frame as its encoder gave it. number: from 0."""

    number: int
    key: bool
    data: bytes


def picture(number: int, width: int, height: int) -> VideoFrame:
    """A gradient with a square that moves; different in every frame."""
    x = np.arange(width, dtype=np.uint16)[None, :]
    y = np.arange(height, dtype=np.uint16)[:, None]
    luma = ((x + 2 * y + 3 * number) & 0xFF).astype(np.uint8)
    side = min(width, height) // 4
    left = (number * 5) % (width - side)
    luma[side : 2 * side, left : left + side] = 235
    chroma = np.full((height // 2, width), 128, np.uint8)
    return VideoFrame.from_ndarray(np.vstack([luma, chroma]), format="yuv420p")


@functools.cache
def encode_video(
    codec: str, frames: int, key_every: int, width: int = 160, height: int = 96, rate: int = 30
) -> tuple[Encoded, ...]:
    """`frames` pictures, a keyframe at every multiple of `key_every`. Kept between tests."""
    encoder = CodecContext.create(ENCODERS[codec], "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.time_base = Fraction(1, rate)
    encoder.framerate = Fraction(rate, 1)
    encoder.bit_rate = 200_000
    encoder.gop_size = key_every
    encoder.thread_count = 1
    encoder.options = {
        "h264": {"preset": "ultrafast", "tune": "zerolatency", "forced-idr": "1"},
        "vp8": {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"},
        "vp9": {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"},
        "av1": {"preset": "10", "svtav1-params": "pred-struct=1:rc=2:lookahead=0:lp=1"},
    }[codec]
    out: list[Encoded] = []
    for number in range(frames):
        frame = picture(number, width, height)
        frame.pts = number
        frame.time_base = encoder.time_base
        frame.pict_type = PictureType.I if number % key_every == 0 else PictureType.NONE
        for packet in encoder.encode(frame):
            out.append(Encoded(len(out), packet.is_keyframe, bytes(packet)))
    for packet in encoder.encode(None):
        out.append(Encoded(len(out), packet.is_keyframe, bytes(packet)))
    assert len(out) == frames
    return tuple(out)


@functools.cache
def encode_voice(
    packets: int, *, frequency: float = 440.0, milliseconds: int = 20
) -> tuple[bytes, ...]:
    """Opus packets of a tone whose loudness rises and falls once a second."""
    encoder = CodecContext.create("libopus", "w")
    assert isinstance(encoder, AudioCodecContext)
    encoder.sample_rate, encoder.bit_rate = 48_000, 32_000
    encoder.layout, encoder.format = "stereo", "s16"
    encoder.options = {"application": "voip", "frame_duration": str(milliseconds)}
    size = 48 * milliseconds
    out: list[bytes] = []
    for number in range(packets + 1):
        time = (np.arange(size) + number * size) / 48_000
        wave = np.sin(2 * np.pi * frequency * time) * (0.3 + 0.2 * np.sin(2 * np.pi * time))
        samples = np.repeat((wave * 32_767).astype(np.int16), 2)[None, :]
        frame = AudioFrame.from_ndarray(samples, format="s16", layout="stereo")
        frame.sample_rate, frame.pts = 48_000, number * size
        out += [bytes(packet) for packet in encoder.encode(frame)]
    return tuple(out[:packets])


def payloads(codec: str, frame: Encoded) -> list[bytes]:
    """The RTP payloads of one frame; the last one is to carry the marker."""
    match codec:
        case "h264":
            return list(_h264(frame.data))
        case "vp8":
            chunks = _chunks(frame.data, MTU)
            return [bytes((0x10 if i == 0 else 0,)) + c for i, c in enumerate(chunks)]
        case "vp9":
            return list(_vp9(frame))
        case "av1":
            return list(_av1(frame))
    raise AssertionError(codec)


def _chunks(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def nal_units(data: bytes) -> list[bytes]:
    """Units of a byte stream with start codes."""
    parts = data.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1")[1:]
    return [part.rstrip(b"\0") for part in parts]


def _h264(data: bytes) -> Iterator[bytes]:
    """Parameter sets as one STAP-A, slices whole or as FU-A."""
    units = nal_units(data)
    sets = [unit for unit in units if unit[0] & 0x1F in (7, 8)]
    if sets:
        yield b"\x78" + b"".join(struct.pack("!H", len(unit)) + unit for unit in sets)
    for unit in units:
        if unit in sets:
            continue
        if len(unit) <= MTU:
            yield unit
            continue
        pieces = _chunks(unit[1:], MTU)
        for index, piece in enumerate(pieces):
            flags = (0x80 if index == 0 else 0) | (0x40 if index == len(pieces) - 1 else 0)
            yield bytes((unit[0] & 0xE0 | 28, flags | unit[0] & 0x1F)) + piece


def _vp9(frame: Encoded) -> Iterator[bytes]:
    pieces = _chunks(frame.data, MTU)
    for index, piece in enumerate(pieces):
        head = 0x80 | (0 if frame.key else 0x40)
        head |= (0x08 if index == 0 else 0) | (0x04 if index == len(pieces) - 1 else 0)
        number = frame.number & 0x7FFF
        yield bytes((head, 0x80 | number >> 8, number & 0xFF)) + piece


def _av1(frame: Encoded) -> Iterator[bytes]:
    """One OBU element per packet piece, without sizes, temporal delimiters left out."""
    obus: list[bytes] = []
    at = 0
    while at < len(frame.data):
        head = frame.data[at]
        kind = head >> 3 & 0x0F
        start = at + 1 + bool(head & 4)
        size, body = av1.read_leb128(frame.data, start, len(frame.data))
        if kind != av1.TEMPORAL_DELIMITER:
            extension = frame.data[at + 1 : at + 2] if head & 4 else b""
            obus.append(bytes((head & ~2,)) + extension + frame.data[body : body + size])
        at = body + size
    first = True
    for obu in obus:
        pieces = _chunks(obu, MTU)
        for index, piece in enumerate(pieces):
            head = 0x10
            head |= 0x80 if index else 0
            head |= 0x40 if index < len(pieces) - 1 else 0
            head |= 0x08 if first and frame.key else 0
            first = False
            yield bytes((head,)) + piece


@dataclass(slots=True)
class Sender:
    """One track of a publisher. offset: RTP timestamp at media time 0. ppm: clock's error."""

    track: Track
    sequence: int = 65_500
    offset: int = 4_294_900_000
    ppm: float = 0.0
    ssrc: int = 0x1234
    history: list[tuple[int, bytes]] = field(default_factory=list)

    def timestamp(self, seconds: float) -> int:
        """What the sender's own, drifting clock shows at `seconds` of true time."""
        return round(self.offset + seconds * (1 + self.ppm / 1e6) * self.track.clock_rate)

    def sync(self, seconds: float, epoch: float = EPOCH) -> Sync:
        return Sync(self.track.track, self.timestamp(seconds) & 0xFFFFFFFF, epoch + seconds)

    def frame(
        self, encoded: Encoded, seconds: float, *, delay: float = 0.05, epoch: float = EPOCH
    ) -> list[Packet]:
        """A video frame captured at `seconds`."""
        parts = payloads(self.track.codec, encoded)
        return self.packets(parts, self.timestamp(seconds), epoch + seconds + delay)

    def packets(self, parts: Sequence[bytes], timestamp: int, arrival: float) -> list[Packet]:
        out = []
        for index, part in enumerate(parts):
            marker = index == len(parts) - 1 and self.track.source != "voice"
            pt = self.track.payload_type
            data = rtp.build(pt, marker, self.sequence, timestamp, self.ssrc, b"", part)
            self.sequence += 1
            out.append(Packet(self.track.track, arrival, data))
        return out

    def voice(
        self, data: bytes, number: int, *, delay: float = 0.05, samples: int = 960
    ) -> list[Packet]:
        """Voice packet `number`, back to back on the sender's own clock."""
        timestamp = self.offset + number * samples
        seconds = number * samples / (48_000 * (1 + self.ppm / 1e6))
        return self.packets([data], timestamp, EPOCH + seconds + delay)

    def red(self, blocks: Sequence[bytes], number: int, *, samples: int = 960) -> Packet:
        """Voice packet `number` with those before it as redundancy, oldest first."""
        pt = self.track.payload_type
        count = len(blocks)
        parts = [(pt, (count - 1 - i) * samples, block) for i, block in enumerate(blocks)]
        red_type = self.track.red_payload_type
        assert red_type is not None
        timestamp = self.offset + number * samples
        body = red.build(parts)
        data = rtp.build(red_type, False, self.sequence, timestamp, self.ssrc, b"", body)
        self.sequence += 1
        return Packet(self.track.track, EPOCH + number * samples / 48_000 + 0.05, data)


def track(
    number: int,
    source: str,
    codec: str,
    *,
    lesson: str = "toan-7",
    rid: str | None = None,
    epoch: int = 0,
) -> Track:
    voice = source == "voice"
    return Track(
        number,
        lesson,
        source,
        rid,
        codec,
        48_000 if voice else 90_000,
        2 if voice else None,
        {},
        111 if voice else 96,
        63 if voice else None,
        {},
        epoch,
    )


def numbered(records: Sequence[Record], first: int = 1) -> list[tuple[int, Record]]:
    """Records with the feed sequence that they get."""
    return list(enumerate(records, first))


def lesson_records(
    seconds: int,
    *,
    codec: str = "h264",
    rid: str | None = None,
    key_every: int = 60,
    video_rate: int = 30,
    first_track: int = 1,
    epoch: int = 0,
    start: float = 0.0,
    ended: bool = True,
) -> list[Record]:
    """A camera and a voice for `seconds` from `start` on, in order of arrival."""
    camera = Sender(track(first_track, "camera", codec, rid=rid, epoch=epoch))
    voice = Sender(track(first_track + 1, "voice", "opus", epoch=epoch), sequence=10, offset=7)
    frames = encode_video(codec, seconds * video_rate, key_every)
    opus = encode_voice(seconds * 50)
    timed: list[tuple[float, Record]] = []
    for index, frame in enumerate(frames):
        at = start + index / video_rate
        timed += [(at, packet) for packet in camera.frame(frame, at)]
    first = round(start * 50)
    for index, data in enumerate(opus):
        at = (first + index) / 50
        timed += [(at, packet) for packet in voice.voice(data, first + index)]
    timed.sort(key=lambda pair: pair[0])
    records: list[Record] = [camera.track, voice.track, camera.sync(start), voice.sync(start)]
    records += [record for _, record in timed]
    if ended:
        records += [End(first_track, "left"), End(first_track + 1, "left")]
    return records
