"""How long an Opus packet lasts, and a packet that fills a pause (RFC 6716 3.1). PURE.

Here: the TOC byte. Not here: decoding, RTP. 48 ticks are a millisecond.
"""

from __future__ import annotations

from typing import Final

MAX_SAMPLES: Final = 5_760  # 120 ms (RFC 6716 3.2.5)
_SILK: Final = (480, 960, 1_920, 2_880)
_HYBRID: Final = (480, 960)
_CELT: Final = (120, 240, 480, 960)

STEREO_BIT: Final = 0x04
MONO_20_MS: Final = 0xF8
STEREO_20_MS: Final = MONO_20_MS | STEREO_BIT
"""TOC of a full-band stereo frame of 20 ms; what a pause is filled with before any packet."""


def frame_samples(toc: int) -> int:
    """Samples at 48 kHz of each frame in a packet that begins with `toc`."""
    config = toc >> 3
    if config < 12:
        return _SILK[config & 3]
    if config < 16:
        return _HYBRID[config & 1]
    return _CELT[config & 3]


def packet_samples(packet: bytes) -> int | None:
    """Samples at 48 kHz in the whole packet, or None if it is no Opus packet."""
    if not packet:
        return None
    count = packet[0] & 3
    if count == 3:
        if len(packet) < 2:
            return None
        frames = packet[1] & 0x3F
    else:
        frames = 2 if count else 1
    samples = frames * frame_samples(packet[0])
    return samples if 0 < samples <= MAX_SAMPLES else None


FILLER: Final = 960  # samples that a filler has where there is room: every mode has such frames
_LENGTHS: Final = ((960, None), (480, 2), (240, 1), (120, 0))
"""Samples of fillers; the shortest exist in one mode alone, with this in their TOC."""


def fillers(toc: int, samples: int) -> list[tuple[int, bytes]]:
    """(samples, packet) of what conceals `samples` of a voice that goes on with `toc`; the shortest
    first, so that those of full length follow from where the voice goes on. What is less than
    2.5 ms remains."""
    found: list[tuple[int, bytes]] = []
    for length, size in _LENGTHS:
        count, samples = divmod(samples, length)
        packet = filler(_of_20_ms(toc) if size is None else 0xE0 | size << 3 | toc & STEREO_BIT)
        found += [(length, packet)] * count
    return found[::-1]


def _of_20_ms(toc: int) -> int:
    config = toc >> 3
    if config < 12:
        config = config & ~3 | 1
    elif config < 16:
        config |= 1
    else:
        config |= 3
    return config << 3 | toc & STEREO_BIT


def filler(toc: int) -> bytes:
    """A packet of one empty frame, of the mode and length that `toc` has.

    Every decoder takes an empty frame as a lost one and conceals it (RFC 6716 3.2.1, 4.4): libopus
    goes on with what was heard and fades out within about 0.2 s, or with comfort noise in a pause;
    others give silence. So a loss does not click, a pause stays quiet, and the timeline is whole.
    """
    return bytes((toc & 0xFC,))
