"""Small media files made for a test: numbered pictures and the generated voice, in any codec.

Lives here: writing files with PyAV. Must not live here: reading them, or real footage
(`tests.media`). Pictures carry their number in the strip of `classroom.host.marker`.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import av
from av.audio.stream import AudioStream
from av.video.stream import VideoStream

from classroom.host.test_lesson import CameraPicture, sound


def write_recording(
    path: Path,
    *,
    video: str | None = "libx264",
    audio: str | None = "aac",
    seconds: float = 2.0,
    rate: int = 15,
    size: tuple[int, int] = (320, 180),
    keyframe_every: int = 15,
    b_frames: int = 0,
    as_it_comes: bool = False,
    start: float = 0.0,
) -> Path:
    """Write `path`; its container format follows from its suffix. Returns `path`.

    as_it_comes: as a browser's MediaRecorder does, which never goes back to write the length.
    start: the first stamp, s; containers for streams begin a little later.
    """
    with (
        path.open("wb") as file,
        av.open(
            _Pipe(file) if as_it_comes else str(path),
            "w",
            format=path.suffix[1:] if as_it_comes else None,
            options={"output_ts_offset": str(start)},
        ) as container,
    ):
        picture_stream = _video(container, video, rate, size, keyframe_every, b_frames)
        voice_stream = _audio(container, audio)
        if picture_stream is not None:
            picture = CameraPicture(*size, "recording")
            for number in range(round(seconds * rate)):
                frame = picture.draw(number, number / rate, 0.0)
                frame.pts, frame.time_base = number, Fraction(1, rate)
                container.mux(picture_stream.encode(frame))
            container.mux(picture_stream.encode(None))
        if voice_stream is not None:
            resampler = av.AudioResampler(
                voice_stream.format.name, "mono", 48_000, frame_size=voice_stream.frame_size or 960
            )
            for block in range(round(seconds * 50)):
                for even in resampler.resample(sound(block)):
                    container.mux(voice_stream.encode(even))
            for even in resampler.resample(None):
                container.mux(voice_stream.encode(even))
            container.mux(voice_stream.encode(None))
    return path


class _Pipe:
    """A file that can only be written on."""

    def __init__(self, file: BinaryIO) -> None:
        self.write = file.write


def _audio(container: av.container.OutputContainer, codec: str | None) -> AudioStream | None:
    if codec is None:
        return None
    stream = container.add_stream(codec, rate=48_000)
    assert isinstance(stream, AudioStream)
    stream.layout = "mono"
    return stream


def _video(
    container: av.container.OutputContainer,
    codec: str | None,
    rate: int,
    size: tuple[int, int],
    keyframe_every: int,
    b_frames: int,
) -> VideoStream | None:
    if codec is None:
        return None
    stream = container.add_stream(codec, rate=rate)
    assert isinstance(stream, VideoStream)
    stream.width, stream.height = size
    stream.pix_fmt = "yuv420p"
    stream.codec_context.gop_size = keyframe_every
    stream.codec_context.bit_rate = 400_000
    if codec == "libx264":
        stream.codec_context.max_b_frames = b_frames
        stream.codec_context.options = {
            "preset": "ultrafast" if not b_frames else "veryfast",
            "sc_threshold": "0",
            "bf": str(b_frames),
        }
    elif codec == "libx265":
        stream.codec_context.options = {
            "preset": "ultrafast",
            "x265-params": f"bframes=0:keyint={keyframe_every}:scenecut=0:log-level=none",
        }
    elif codec.startswith("libvpx"):
        stream.codec_context.options = {
            "deadline": "realtime",
            "cpu-used": "8",
            "auto-alt-ref": "0",
            "lag-in-frames": "0",
        }
    return stream
