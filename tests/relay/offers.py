"""The offers of real clients, kept as golden text in tests/vectors/sdp.

chromium-156-*: captured from Chromium 156 (the teacher's page with simulcast, the room's page with
seven sections, a stock player). aiortc, ffmpeg: captured from these libraries. obs-libdatachannel,
gstreamer-webrtcbin: worded as these clients' public sources and logs show. Not here: assertions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

_FOLDER: Final = Path(__file__).parent.parent / "vectors" / "sdp"

OFFERS: Final = {file.stem: file.read_bytes().decode() for file in sorted(_FOLDER.glob("*.sdp"))}
TEACHER: Final = "chromium-156-teacher"
ROOM: Final = "chromium-156-room"
PLAYER: Final = "chromium-156-stock-player"
AIORTC: Final = "aiortc-1.16"
FFMPEG: Final = "ffmpeg-62.12-whip"
OBS: Final = "obs-libdatachannel"
GSTREAMER: Final = "gstreamer-webrtcbin"


def without(text: str, prefix: str) -> str:
    """The offer without its lines that begin with `prefix`."""
    return "".join(line for line in text.splitlines(True) if not line.startswith(prefix))


def replaced(text: str, old: str, new: str) -> str:
    """The offer with `old` replaced everywhere; it must be there."""
    assert old in text
    return text.replace(old, new)
