"""The generated lesson `test:`: a clock, colour bars and a voice that names the seconds.

Lives here: drawing the camera's and the screen's pictures (each carries its frame number, readable
by people and, in the strip of `marker`, by programs) and the thread that makes them in time with
the voice. Must not live here: coding and sending.

Everything that stays still is drawn once; a frame costs one copy and a few lines of luma.
"""

from __future__ import annotations

import time as system_time
from dataclasses import dataclass
from typing import Final

import av

from classroom.host import glyphs, marker, voice

GREY: Final = 128  # neutral chroma
PAPER: Final = 40
INK: Final = 235
SLIDE_S: Final = 10  # seconds that a slide stays

# Y, U, V of the eight classic bars at 75 %: white yellow cyan green magenta red blue black.
_BARS: Final = (
    (180, 128, 128),
    (162, 44, 142),
    (131, 156, 44),
    (112, 72, 58),
    (84, 184, 198),
    (65, 100, 212),
    (35, 212, 114),
    (16, 128, 128),
)


@dataclass(slots=True)
class Canvas:
    """An I420 picture as three byte arrays; width and height are even."""

    width: int
    height: int
    y: bytearray
    u: bytearray
    v: bytearray

    @classmethod
    def filled(cls, width: int, height: int, luma: int) -> Canvas:
        """A grey picture of brightness `luma`."""
        small = width // 2 * (height // 2)
        return cls(
            width,
            height,
            bytearray([luma]) * (width * height),
            bytearray([GREY]) * small,
            bytearray([GREY]) * small,
        )

    def copy(self) -> Canvas:
        """The same picture with its own luma; the chroma is shared, since only luma changes."""
        return Canvas(self.width, self.height, bytearray(self.y), self.u, self.v)

    def box(self, left: int, top: int, width: int, height: int, luma: int) -> None:
        """Fill a rectangle of luma, clipped to the picture."""
        right = min(left + width, self.width)
        row = bytes([luma]) * max(0, right - left)
        for line in range(top, min(top + height, self.height)):
            at = line * self.width + left
            self.y[at : at + len(row)] = row

    def text(self, text: str, left: int, top: int, scale: int, ink: int, paper: int) -> None:
        """Write one line, clipped to the picture."""
        for line, row in enumerate(glyphs.text_rows(text, scale, ink, paper), start=top):
            if line < self.height:
                row = row[: self.width - left]
                at = line * self.width + left
                self.y[at : at + len(row)] = row

    def strip(self, number: int) -> None:
        """Draw the machine-readable frame number across the bottom."""
        lines = marker.strip_height(self.height)
        self.y[-lines * self.width :] = marker.luma_row(number, self.width) * lines

    def frame(self) -> av.VideoFrame:
        """The picture as PyAV wants it."""
        frame = av.VideoFrame(self.width, self.height, "yuv420p")
        for plane, data, width in zip(
            frame.planes,
            (self.y, self.u, self.v),
            (self.width, self.width // 2, self.width // 2),
            strict=True,
        ):
            view = memoryview(plane)
            if plane.line_size == width:
                view[: len(data)] = data
                continue
            for line in range(plane.height):
                at = line * plane.line_size
                view[at : at + width] = data[line * width : (line + 1) * width]
        return frame


class CameraPicture:
    """Colour bars behind a clock, a moving block, the frame number and the strip."""

    def __init__(self, width: int, height: int, title: str) -> None:
        self._still = Canvas.filled(width, height, PAPER)
        self._scale = max(1, height // 120)
        self._bars_top = height // 6
        self._bars_lines = height // 3
        for index, bar in enumerate(_BARS):
            self._bar(index, bar)
        self._still.text(title, width // 24, height // 24, self._scale, INK, PAPER)

    def draw(self, number: int, time: float, began: float) -> av.VideoFrame:
        """Frame `number`, `time` seconds into a lesson that began at Unix time `began`."""
        canvas = self._still.copy()
        height, scale = canvas.height, self._scale
        left = canvas.width // 24
        whole = began + time
        clock = system_time.strftime("%H:%M:%S", system_time.localtime(whole))
        clock = f"{clock}.{int(whole % 1 * 1000):03}"
        canvas.text(clock, left, height * 13 // 24, 2 * scale, INK, PAPER)
        canvas.text(f"FRAME {number:06}", left, height * 17 // 24, scale, INK, PAPER)
        # The block crosses the picture every four seconds; it makes each frame's motion real.
        size = height // 10
        x = int(time % 4 / 4 * (canvas.width - size))
        canvas.box(x, height * 19 // 24, size, size, INK)
        canvas.strip(number)
        return canvas.frame()

    def _bar(self, index: int, colour: tuple[int, int, int]) -> None:
        still = self._still
        left = still.width * index // 8 // 2 * 2
        right = still.width * (index + 1) // 8 // 2 * 2
        still.box(left, self._bars_top, right - left, self._bars_lines, colour[0])
        half, row = still.width // 2, (right - left) // 2
        for line in range(self._bars_top // 2, (self._bars_top + self._bars_lines) // 2):
            at = line * half + left // 2
            still.u[at : at + row] = bytes([colour[1]]) * row
            still.v[at : at + row] = bytes([colour[2]]) * row


class SlidePicture:
    """A white slide with lines of text, another one every `SLIDE_S` seconds."""

    def __init__(self, width: int, height: int, title: str) -> None:
        self._blank = Canvas.filled(width, height, INK)
        self._title = title
        self._slide = -1
        self._drawn = self._blank

    def draw(self, number: int, time: float) -> av.VideoFrame:
        """Frame `number`, `time` seconds into the lesson."""
        slide = int(time // SLIDE_S)
        if slide != self._slide:
            self._slide, self._drawn = slide, self._compose(slide)
        canvas = self._drawn.copy()
        canvas.strip(number)
        return canvas.frame()

    def _compose(self, slide: int) -> Canvas:
        canvas = self._blank.copy()
        scale = max(1, canvas.height // 120)
        left = canvas.width // 16
        canvas.text(self._title, left, canvas.height // 12, scale, 60, INK)
        canvas.text(f"SLIDE {slide + 1}", left, canvas.height // 4, 2 * scale, 20, INK)
        small = max(1, scale // 2)
        for line in range(6):
            factor = (slide * 7 + line * 3) % 100
            words = f"{line + 1}. {factor} X {line + 2} = {factor * (line + 2)}"
            top = canvas.height // 2 + line * 9 * small
            canvas.text(words, left, top, small, 60, INK)
        return canvas


def sound(block: int) -> av.AudioFrame:
    """20 ms of the voice: `block` counts them from the start of the lesson."""
    samples = voice.RATE // 50
    data = voice.second(block // 50)
    at = block % 50 * samples * 2
    frame = av.AudioFrame("s16", "mono", samples)
    frame.sample_rate = voice.RATE
    memoryview(frame.planes[0])[: samples * 2] = data[at : at + samples * 2]
    return frame
