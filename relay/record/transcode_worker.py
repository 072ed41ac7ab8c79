"""The worker process that turns VP8 into H.264 for recordings; started by `transcode`.

Here: PyAV, one decoder and one encoder per stream, requests from stdin and answers to stdout in
order. Not here: what is recorded. H.264 because every browser and tablet plays it from fMP4, which
is not so of VP8 (no CMAF binding) or VP9 (older Safari). A frame that cannot be decoded is answered
with nothing; the process lives until its stdin ends.

    request = !I length · msgpack [stream, key, encode, time, data]    answer = !I length · annex B
"""

from __future__ import annotations

import os
import sys
from collections import OrderedDict
from fractions import Fraction
from typing import BinaryIO, Final

import av
import msgpack
from av.codec.context import CodecContext
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType, VideoFrame

from relay.record.worker_wire import LENGTH

MAX_STREAMS: Final = 8
MAX_PIXELS: Final = 4096 * 2304
"""No camera or screen has more. A keyframe of some kilobytes may say that it is 16,383 wide and
high, which would be gigabytes for decoder and encoder."""
NICE: Final = 10  # the live lesson comes first
TIME_BASE: Final = 90_000
_OPTIONS: Final = {
    "preset": "veryfast",
    "tune": "zerolatency",  # an answer for each frame, no frames out of order
    "crf": "24",
    "forced-idr": "1",
    "profile": "main",
}
_NO_PERIOD: Final = 100_000  # frames; keyframes come where the source has them


class Stream:
    """One source: its decoder, and an encoder that is made anew when the picture size changes."""

    def __init__(self) -> None:
        self._decoder = _video(CodecContext.create("vp8", "r"))
        self._decoder.options = {"max_pixels": str(MAX_PIXELS)}
        self._encoder: VideoCodecContext | None = None

    def process(self, key: bool, encode: bool, time: int, data: bytes) -> bytes:
        """The H.264 access unit of one VP8 frame; empty if `encode` is false or it is broken."""
        frames = self._decoder.decode(av.Packet(data))
        if not frames or not encode:
            return b""
        return self._encode(frames[-1], key, time)

    def _encode(self, frame: VideoFrame, key: bool, time: int) -> bytes:
        encoder = self._encoder
        if encoder is None or (encoder.width, encoder.height) != (frame.width, frame.height):
            encoder = self._encoder = _video(CodecContext.create("libx264", "w"))
            encoder.width, encoder.height = frame.width, frame.height
            encoder.pix_fmt = "yuv420p"
            encoder.time_base = Fraction(1, TIME_BASE)
            encoder.gop_size = _NO_PERIOD
            encoder.thread_count = 1
            encoder.options = dict(_OPTIONS)
            key = True
        frame.pts = time
        frame.time_base = encoder.time_base
        frame.pict_type = PictureType.I if key else PictureType.NONE
        return b"".join(bytes(packet) for packet in encoder.encode(frame))


def _video(context: CodecContext) -> VideoCodecContext:
    assert isinstance(context, VideoCodecContext), "a video codec was named"
    return context


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until their stream ends."""
    streams: OrderedDict[str, Stream] = OrderedDict()
    while len(head := requests.read(LENGTH.size)) == LENGTH.size:
        name, key, encode, time, data = msgpack.unpackb(requests.read(LENGTH.unpack(head)[0]))
        stream = streams.get(name)
        if stream is None:
            stream = streams[name] = Stream()
            while len(streams) > MAX_STREAMS:
                streams.popitem(last=False)
        streams.move_to_end(name)
        try:
            answer = stream.process(key, encode, time, data)
        except FFmpegError:
            answer = b""
        answers.write(LENGTH.pack(len(answer)) + answer)
        answers.flush()


if __name__ == "__main__":
    os.nice(NICE)
    av.logging.set_level(av.logging.PANIC)
    serve(sys.stdin.buffer, sys.stdout.buffer)
