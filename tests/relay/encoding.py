"""Real streams for the header readers: a moving picture through the encoders in PyAV's wheel.

Not here: packetizing. Frames are small and few; what matters is that another program wrote the
headers.
"""

from __future__ import annotations

from fractions import Fraction
from typing import cast

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext


def encode(
    name: str,
    width: int,
    height: int,
    *,
    frames: int = 6,
    pixels: str = "yuv420p",
    options: dict[str, str] | None = None,
    interval: int | None = None,
) -> list[tuple[bool, bytes]]:
    """(keyframe, bytes) of each encoded frame; `interval` is the distance of keyframes."""
    context = cast(VideoCodecContext, av.CodecContext.create(name, "w"))
    context.width, context.height = width, height
    context.pix_fmt = pixels
    context.time_base = Fraction(1, 30)
    context.framerate = Fraction(30)
    if interval is not None:
        context.gop_size = interval
    context.options = options or {}
    packets = []
    for index in range(frames):
        picture = np.full((height, width, 3), index * 9 % 256, dtype=np.uint8)
        picture[:, : 8 + index * 4] = 200
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pixels)
        frame.pts = index
        frame.time_base = Fraction(1, 30)
        packets += context.encode(frame)
    packets += context.encode(None)
    return [(packet.is_keyframe, bytes(packet)) for packet in packets]


def nal_units(annex_b: bytes) -> list[bytes]:
    """The NAL units between start codes."""
    units = annex_b.replace(b"\x00\x00\x00\x01", b"\x00\x00\x01").split(b"\x00\x00\x01")
    return [unit for unit in units if unit]


def obus(temporal_unit: bytes) -> list[bytes]:
    """The OBUs of a low-overhead byte stream, sizes kept."""
    found = []
    position = 0
    while position < len(temporal_unit):
        start = position
        position += 2 if temporal_unit[position] & 0x04 else 1
        size = shift = 0
        while True:
            byte = temporal_unit[position]
            position += 1
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        position += size
        found.append(temporal_unit[start:position])
    return found
