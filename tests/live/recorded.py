"""Reading a recorded lesson back from disk, as an independent player would: bytes into PyAV.

Lives here: joining a rendition's segments in order and decoding them; the times at which frames
and words stand in the recording. Must not live here: anything that the relay uses to write it.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from tests import media
from tests.fakes.whip_server import read_marker


@dataclass(frozen=True, slots=True)
class Picture:
    """One decoded picture: seconds in the recording, its frame number (None: unreadable), size."""

    time: float
    number: int | None
    size: tuple[int, int]


def archive_of(data: Path, lesson: str) -> Path:
    """The folder of `lesson` in what a demo keeps in `data`."""
    return data / "relay" / "archives" / lesson


def renditions(archive: Path) -> set[str]:
    """Names of the renditions on disk."""
    return {path.name for path in archive.iterdir() if path.is_dir() and any(path.glob("init-*"))}


def joined(archive: Path, rendition: str) -> bytes:
    """One initialisation and every finished segment, in order."""
    folder = archive / rendition
    inits = sorted(folder.glob("init-*.mp4"))
    segments = sorted(folder.glob("*.m4s"), key=_place)
    return b"".join(path.read_bytes() for path in (inits[0], *segments))


def _place(segment: Path) -> tuple[int, int]:
    """Beat and part: a beat that was begun anew has `<beat>.m4s`, then `<beat>-1.m4s`."""
    beat, _, part = segment.stem.partition("-")
    return int(beat), int(part or 0)


def pictures(archive: Path, rendition: str) -> list[Picture]:
    """Every picture of a video rendition, decoded."""
    found = []
    with av.open(io.BytesIO(joined(archive, rendition)), "r") as container:
        for frame in container.decode(video=0):
            found.append(Picture(frame.time, read_marker(frame), (frame.width, frame.height)))
    return found


def speech(archive: Path) -> tuple[float, media.Samples]:
    """The voice decoded to 48 kHz mono, silence where it has gaps, and the time of its start."""
    start = 0.0
    blocks: list[media.Samples] = []
    have = 0
    with av.open(io.BytesIO(joined(archive, "voice")), "r") as container:
        resampler = av.AudioResampler("fltp", "mono", media.VOICE_RATE)
        for frame in container.decode(audio=0):
            assert frame.time is not None
            if not blocks:
                start = frame.time
            gap = round((frame.time - start) * media.VOICE_RATE) - have
            if gap > media.VOICE_RATE // 100:
                blocks.append(np.zeros(gap, np.float32))
                have += gap
            for even in resampler.resample(frame):
                blocks.append(even.to_ndarray()[0].astype(np.float32))
                have += even.samples
    return start, np.concatenate(blocks)
