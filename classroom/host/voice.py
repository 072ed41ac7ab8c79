"""A speech-like voice for the generated lesson: it says the time in syllables of its own.

Lives here: the synthesis (a pulse train through three resonances, as a throat and mouth do) and
the programme of a second: a beep, a rising chirp, two syllables that name the second. Must not
live here: resampling and coding. Pure: imports nothing of ours; deterministic.

Every second is different within a hundred, so a receiver can align what it hears with what was
said; the chirp is wide and short, so the alignment is exact to well under a millisecond.
"""

from __future__ import annotations

import math
from array import array
from functools import lru_cache
from typing import Final

RATE: Final = 16_000  # samples a second; wideband speech, resampled by whoever sends it
BEEP_S: Final = 0.06
CHIRP_S: Final = 0.06
SYLLABLE_S: Final = 0.28
PEAK: Final = 14_000  # of 32767, about -7 dBFS, as loud as a close microphone

# First, second and third resonance in Hz for ten vowels, after Peterson and Barney's averages.
_VOWELS: Final = (
    (270, 2290, 3010),
    (390, 1990, 2550),
    (530, 1840, 2480),
    (660, 1720, 2410),
    (730, 1090, 2440),
    (570, 840, 2410),
    (440, 1020, 2240),
    (300, 870, 2240),
    (640, 1190, 2390),
    (490, 1350, 1690),
)
_BANDWIDTHS: Final = (70.0, 100.0, 140.0)


@lru_cache(maxsize=100)  # the programme repeats after a hundred seconds; 32 kB each
def second(number: int) -> bytes:
    """One second of sound for second `number` (modulo 100): RATE samples, signed 16 bit, mono."""
    number %= 100
    sound = array("h", bytes(2 * RATE))
    _place(sound, 0.0, _beep(1500 if number % 10 == 0 else 1000))
    _place(sound, 0.1, _chirp())
    _place(sound, 0.25, _syllable(number // 10, 105))
    _place(sound, 0.60, _syllable(number % 10, 130))
    return sound.tobytes()


def _place(sound: array[int], at_s: float, piece: array[int]) -> None:
    start = round(at_s * RATE)
    sound[start : start + len(piece)] = piece


def _beep(pitch: int) -> array[int]:
    length = round(BEEP_S * RATE)
    return array(
        "h",
        (
            round(PEAK * _fade(n, length) * math.sin(2 * math.pi * pitch * n / RATE))
            for n in range(length)
        ),
    )


def _chirp() -> array[int]:
    """A sweep from 300 Hz to 6 kHz."""
    length = round(CHIRP_S * RATE)
    slope = (6000 - 300) / CHIRP_S
    times = (n / RATE for n in range(length))
    waves = (math.sin(2 * math.pi * (300 * t + slope * t * t / 2)) for t in times)
    return array("h", (round(PEAK * _fade(n, length) * wave) for n, wave in enumerate(waves)))


@lru_cache(maxsize=20)
def _syllable(digit: int, pitch: int) -> array[int]:
    length = round(SYLLABLE_S * RATE)
    period = RATE // pitch
    signal = [1.0 if n % period == 0 else 0.0 for n in range(length)]
    for resonance, bandwidth in zip(_VOWELS[digit], _BANDWIDTHS, strict=True):
        signal = _resonate(signal, resonance, bandwidth)
    loudest = max(abs(value) for value in signal)
    return array(
        "h", (round(PEAK * _fade(n, length) * value / loudest) for n, value in enumerate(signal))
    )


def _resonate(signal: list[float], frequency: float, bandwidth: float) -> list[float]:
    """Two-pole resonator, the building block of Klatt's cascade synthesiser."""
    radius = math.exp(-math.pi * bandwidth / RATE)
    first = 2 * radius * math.cos(2 * math.pi * frequency / RATE)
    second_ = -radius * radius
    out: list[float] = []
    before, earlier = 0.0, 0.0
    for value in signal:
        before, earlier = value + first * before + second_ * earlier, before
        out.append(before)
    return out


def _fade(n: int, length: int) -> float:
    """Ten milliseconds in and out, so that no piece starts or ends with a click."""
    edge = RATE // 100
    return min(1.0, n / edge, (length - 1 - n) / edge)
