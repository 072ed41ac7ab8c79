"""How close a decoded picture is to the one that was sent: PSNR and SSIM of the brightness.

Lives here: the two measures, the source's pictures at a layer's size, and the frame number of a
decoded picture. Must not live here: browsers, encoders. SSIM is that of Wang et al. 2004 with 8 × 8
windows on a grid of 4, as ffmpeg's filter of that name computes it. The strip that carries the
frame number is left out of both.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from classroom.host import marker

Luma = npt.NDArray[np.uint8]
_Real = npt.NDArray[np.float64]

# Stabilisers of SSIM: (0.01 × 255)² and (0.03 × 255)².
_C1: Final = 6.5025
_C2: Final = 58.5225
_FRAME_HEAD: Final = len(b"FRAME\n")


class Source:
    """The pictures of a Y4M file with 4:2:0 colour, by number, at a whole part of their size."""

    def __init__(self, path: Path) -> None:
        raw = np.memmap(path, np.uint8, "r")
        head = bytes(raw[:128]).split(b"\n", 1)[0]
        fields = {field[:1]: field[1:] for field in head.split(b" ")[1:]}
        self.width, self.height = int(fields[b"W"]), int(fields[b"H"])
        size = self.width * self.height
        frames = raw[len(head) + 1 :].reshape(-1, _FRAME_HEAD + size * 3 // 2)
        self._luma = frames[:, _FRAME_HEAD : _FRAME_HEAD + size]
        self._scaled: dict[tuple[int, int], Luma] = {}

    def __len__(self) -> int:
        return len(self._luma)

    def picture(self, number: int, width: int) -> Luma:
        """Picture `number` at `width`, which divides the source's: the mean of each square."""
        if (number, width) not in self._scaled:
            whole = self._luma[number].reshape(self.height, self.width)
            self._scaled[number, width] = shrink(whole, self.width // width)
        return self._scaled[number, width]


def shrink(picture: Luma, factor: int) -> Luma:
    """Means of squares of `factor` × `factor`, rounded: what Chromium does to make a layer."""
    means: Luma = np.rint(_squares(picture, factor)).astype(np.uint8)
    return means


def number_of(picture: Luma) -> int | None:
    """The frame number in the strip of `picture`, None if it cannot be read."""
    strip = marker.strip_height(len(picture))
    rows = picture[-(strip * 3 // 4) : -(strip // 4)]
    return marker.read_row([int(value) for value in rows.mean(axis=0)])


def compare(decoded: Luma, source: Luma) -> tuple[float, float]:
    """PSNR in dB (at most 100) and SSIM (1 for the same picture), without the strip."""
    rows = (len(source) - marker.strip_height(len(source))) // 4 * 4
    return psnr(decoded[:rows], source[:rows]), ssim(decoded[:rows], source[:rows])


def psnr(one: Luma, other: Luma) -> float:
    """Peak signal to noise ratio in dB, at most 100."""
    error = float(np.mean((one.astype(np.float64) - other) ** 2))
    return min(100.0, 10 * float(np.log10(255**2 / max(error, 1e-9))))


def ssim(one: Luma, other: Luma) -> float:
    """Structural similarity, the mean over all windows. Sides must be multiples of 4."""
    x, y = one.astype(np.float64), other.astype(np.float64)
    mean_x, mean_y = _windows(x), _windows(y)
    spread_x = _windows(x * x) - mean_x**2
    spread_y = _windows(y * y) - mean_y**2
    shared = _windows(x * y) - mean_x * mean_y
    alike = (2 * mean_x * mean_y + _C1) * (2 * shared + _C2)
    apart = (mean_x**2 + mean_y**2 + _C1) * (spread_x + spread_y + _C2)
    return float(np.mean(alike / apart))


def _windows(values: _Real) -> _Real:
    """Means of 8 × 8 windows that begin at every fourth line and column."""
    blocks = _squares(values, 4)
    result: _Real = (blocks[:-1, :-1] + blocks[1:, :-1] + blocks[:-1, 1:] + blocks[1:, 1:]) / 4
    return result


def _squares(values: npt.NDArray[Any], side: int) -> _Real:
    """Means of squares of `side` × `side`, lines first because that is how they lie in memory."""
    height, width = values.shape
    lines = values.reshape(height // side, side, width).sum(axis=1, dtype=np.float64)
    sums: _Real = lines.reshape(height // side, width // side, side).sum(axis=2)
    return sums / side**2
