"""Voice and picture encoders with the settings that a lesson needs, on PyAV.

Lives here: raw frames in, `Piece`s out, on whatever thread calls. Must not live here: where the
frames come from. aiortc's own encoders are not used: theirs spend two to three times the CPU on
H.264, send stereo music-rate Opus without error correction, and make keyframes only when asked,
where a recording wants one at least every 8 s.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from fractions import Fraction
from typing import Final, cast

import av
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType

from classroom.host.outlet import Codec, Piece

KEYFRAME_S: Final = 4.0  # a lone encoding's own rhythm; the recorder and a join want ≤ 8 s
VOICE_RATE: Final = 48_000
VOICE_FRAME: Final = 960  # samples, 20 ms: what every WebRTC peer expects
VOICE_FRAME_S: Final = VOICE_FRAME / VOICE_RATE
VOICE_GAP_S: Final = 0.08  # a jump in the input's time beyond this is a gap, not jitter
VIDEO_CLOCK: Final = 90_000
MAX_RATE: Final = 30.0  # pictures a second; more would not help a lesson


class VoiceEncoder:
    """Any sound in, Opus in frames of 20 ms out. Mono unless `channels` is 2."""

    def __init__(self, bit_rate: int, channels: int = 1) -> None:
        layout = "stereo" if channels == 2 else "mono"
        codec = av.CodecContext.create("libopus", "w")
        codec.sample_rate = VOICE_RATE
        codec.format = "s16"
        codec.layout = layout
        codec.bit_rate = bit_rate
        codec.time_base = Fraction(1, VOICE_RATE)
        # In-band correction with an assumed loss makes each packet carry a thin copy of the last.
        codec.options = {
            "application": "voip",
            "frame_duration": "20",
            "fec": "1",
            "packet_loss": "10",
        }
        self._codec = codec
        self._layout = layout
        self._form: tuple[str, str, int] | None = None
        self._resampler = self._new_resampler()
        self._times: deque[float] = deque()
        self._base: float | None = None
        self._samples_in = 0.0
        self._samples_out = 0

    def encode(self, frame: av.AudioFrame, time: float) -> list[Piece]:
        """Code `frame`, which begins `time` seconds into the source."""
        if self._base is None:
            self._base = time
        pieces = self._take_form(frame)
        drift = time - (self._base + self._samples_in)
        if drift > VOICE_GAP_S:
            self._base += drift
        # A sound card that runs fast gives more samples than there is time for. Leaving out 20 ms
        # now and then keeps the voice with the picture; times given out are never taken back.
        surplus = math.ceil((-drift - VOICE_GAP_S) / VOICE_FRAME_S)
        self._samples_in += frame.samples / frame.sample_rate
        # The resampler counts for itself; times of our own survive gaps and loops.
        frame.pts = None
        for even in self._resampler.resample(frame):
            if surplus > 0:
                surplus -= 1
                self._samples_in -= VOICE_FRAME_S
            else:
                pieces += self._code(even)
        return pieces

    def _take_form(self, frame: av.AudioFrame) -> list[Piece]:
        """Be ready for frames like `frame`; what is left of those before it, if they were others.

        A broadcast changes its sound between programmes, a joined recording from part to part.
        """
        form = (frame.format.name, frame.layout.name, frame.sample_rate)
        if form == self._form:
            return []
        pieces: list[Piece] = []
        if self._form is not None:
            for even in self._resampler.resample(None):
                if even.samples == VOICE_FRAME:  # Opus takes no shorter one
                    pieces += self._code(even)
            self._resampler = self._new_resampler()
            self._samples_in = self._samples_out / VOICE_RATE
        self._form = form
        return pieces

    def _new_resampler(self) -> av.AudioResampler:
        return av.AudioResampler("s16", self._layout, VOICE_RATE, frame_size=VOICE_FRAME)

    def _code(self, even: av.AudioFrame) -> list[Piece]:
        """Code one frame of 20 ms."""
        even.pts = self._samples_out
        self._times.append((self._base or 0.0) + self._samples_out / VOICE_RATE)
        self._samples_out += even.samples
        return [
            Piece(bytes(packet), self._times.popleft(), True) for packet in self._codec.encode(even)
        ]


class VideoEncoder:
    """Pictures in, H.264 (constrained baseline) or VP8 out, scaled down to fit and thinned."""

    def __init__(
        self, codec: Codec, bit_rate: int, largest: tuple[int, int], *, sharp: bool = False
    ) -> None:
        """`largest`: width and height not to exceed. `sharp`: slides, spend time on still text."""
        self._codec_name = codec
        self._bit_rate = bit_rate
        self._largest = largest
        self._sharp = sharp
        self._codec: VideoCodecContext | None = None
        self._wanted = threading.Event()
        self._keyframe_at = 0.0
        self._next_time = float("-inf")

    def request_keyframe(self) -> None:
        """Make the next picture a keyframe; may be called from any thread."""
        self._wanted.set()

    def encode(self, frame: av.VideoFrame, time: float) -> list[Piece]:
        """Code `frame`, shown from `time` seconds into the source; [] if it came too soon."""
        if time < self._next_time:
            return []
        self._next_time = time + 0.9 / MAX_RATE  # 0.9: a 30 Hz source jitters around its beat
        width, height = fit(frame.width, frame.height, self._largest)
        fresh = frame.reformat(width, height, "yuv420p")
        if self._codec is None or (self._codec.width, self._codec.height) != (width, height):
            self._codec = self._open(width, height)
            self._wanted.set()
        fresh.pts = round(time * VIDEO_CLOCK)
        fresh.time_base = Fraction(1, VIDEO_CLOCK)
        fresh.pict_type = PictureType.NONE
        if self._wanted.is_set() or time >= self._keyframe_at:
            self._wanted.clear()
            self._keyframe_at = time + KEYFRAME_S
            fresh.pict_type = PictureType.I
        return [
            Piece(bytes(packet), (packet.pts or 0) / VIDEO_CLOCK, packet.is_keyframe)
            for packet in self._codec.encode(fresh)
        ]

    def _open(self, width: int, height: int) -> VideoCodecContext:
        name = "libx264" if self._codec_name == "h264" else "libvpx"
        codec = cast(VideoCodecContext, av.CodecContext.create(name, "w"))
        codec.width, codec.height, codec.pix_fmt = width, height, "yuv420p"
        codec.bit_rate = self._bit_rate
        codec.time_base = Fraction(1, VIDEO_CLOCK)
        codec.framerate = Fraction(30, 1)
        codec.gop_size = 3000  # keyframes come from encode(), by time and on request
        codec.thread_count = 1
        codec.options = self._h264_options() if name == "libx264" else self._vp8_options()
        if name == "libx264":
            codec.profile = "Baseline"
        return codec

    def _h264_options(self) -> dict[str, str]:
        return {
            "preset": "veryfast" if self._sharp else "superfast",
            "tune": "zerolatency",
            "forced-idr": "1",
            "sc_threshold": "0",
            "maxrate": str(self._bit_rate),
            "bufsize": str(self._bit_rate),
        }

    def _vp8_options(self) -> dict[str, str]:
        rate = str(self._bit_rate)
        return {
            "deadline": "realtime",
            "cpu-used": "-6",
            "lag-in-frames": "0",
            "minrate": rate,
            "maxrate": rate,
            "bufsize": rate,
            "static-thresh": "1",
        }


def fit(width: int, height: int, largest: tuple[int, int]) -> tuple[int, int]:
    """The size, both sides even, that fits into `largest` without changing the shape."""
    scale = min(1.0, largest[0] / width, largest[1] / height)
    return max(2, round(width * scale) // 2 * 2), max(2, round(height * scale) // 2 * 2)
