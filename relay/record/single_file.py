"""A lesson as one MP4 file: which renditions go into it. PURE.

Here: the choice, its size, a name for the result. Not here: writing it (`single_file_worker`). A
file is for devices that cannot keep lessons in the page, so it is played by whatever player they
have: H.264 and AAC go before what was recorded in other codecs. It has one picture, of the screen
or of the camera: two cannot be put into one without encoding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from classroom.archive.canonical import digest
from classroom.archive.extras import Extras
from classroom.archive.journal import Segment
from classroom.archive.manifest import Manifest, RenditionManifest
from classroom.archive.names import AAC_VOICE
from relay.record.layers import fullest

PICTURES: Final = ("auto", "screen", "camera", "none")
NOT_WHOLE: Final = 3
"""The worker's exit status where a segment is missing or rotten."""
_MOST_LINES: Final = 720
"""More is not worth its bytes on a tablet."""
_ENOUGH_LINES: Final = 480
_SCREEN_SHARE: Final = 0.5
"""A lesson that was shown on the screen for half its time is followed there."""


@dataclass(frozen=True, slots=True)
class Part:
    """A rendition of the file. init: the initialisation file that most of it has; a track has one,
    so segments of another are left out and the picture before them stands."""

    rendition: RenditionManifest
    init: int

    @property
    def segments(self) -> list[Segment]:
        return [one for one in self.rendition.segments if one.init == self.init]

    @property
    def bytes(self) -> int:
        return sum(one.bytes for one in self.segments)


@dataclass(frozen=True, slots=True)
class Choice:
    """voice, picture: None where there is none. picture_of: "screen", "camera" or "none"."""

    voice: Part | None
    picture: Part | None
    picture_of: str

    @property
    def parts(self) -> list[Part]:
        return [part for part in (self.picture, self.voice) if part is not None]

    @property
    def bytes(self) -> int:
        """About how large the file becomes."""
        return sum(part.bytes for part in self.parts)

    @property
    def plays_everywhere(self) -> bool:
        """Whether all of it is H.264 and AAC."""
        return all(
            part.rendition.init(part.init).codec.startswith(("avc1", "mp4a")) for part in self.parts
        )

    def key(self) -> str:
        """A name that changes with whatever changes the file."""
        digests = [
            f"{part.rendition.name}:{part.init}:{one.digest}"
            for part in self.parts
            for one in part.segments
        ]
        return digest("\n".join(digests).encode())[:24]


def choose(manifest: Manifest, extras: Extras, picture: str) -> Choice | None:
    """The file's parts for `picture`, one of PICTURES; None if the lesson has nothing of it."""
    voice = extras.copy(AAC_VOICE) or manifest.rendition("voice")
    of = picture
    if picture == "auto":
        of = _followed(manifest)
    chosen = _picture(manifest, extras, of) if of != "none" else None
    if chosen is None and (of != "none" or voice is None):
        return None
    return Choice(
        _part(voice) if voice is not None else None,
        _part(chosen) if chosen is not None else None,
        of,
    )


def _followed(manifest: Manifest) -> str:
    """Whether a lesson is followed on the screen, by the camera, or by ear."""
    shown = max((_seconds(r) for r in _layers(manifest, "screen")), default=0.0)
    if shown * 1000 >= manifest.duration_ms * _SCREEN_SHARE and shown > 0:
        return "screen"
    if _layers(manifest, "camera"):
        return "camera"
    return "screen" if shown > 0 else "none"


def _layers(manifest: Manifest, source: str) -> list[RenditionManifest]:
    return [r for r in manifest.renditions if r.name == source or r.name.startswith(f"{source}-")]


def _picture(manifest: Manifest, extras: Extras, source: str) -> RenditionManifest | None:
    layers = _layers(manifest, source)
    if not layers:
        return None
    layers = fullest(layers)
    plain = [r for r in layers if all(init.codec.startswith("avc1") for init in r.inits)]
    fitting = [r for r in plain if _height(r) <= _MOST_LINES]
    if fitting:
        return max(fitting, key=_height)
    copy = extras.copy(f"h264-{source}")
    if copy is not None:
        return copy
    small = [r for r in layers if _height(r) <= _ENOUGH_LINES]
    return max(small, key=_height) if small else min(layers, key=_height)


def _height(rendition: RenditionManifest) -> int:
    return max(init.height for init in rendition.inits)


def _seconds(rendition: RenditionManifest) -> float:
    return sum(s.duration for s in rendition.segments) / rendition.timescale


def _part(rendition: RenditionManifest) -> Part:
    lengths: dict[int, int] = {}
    for segment in rendition.segments:
        lengths[segment.init] = lengths.get(segment.init, 0) + segment.duration
    return Part(rendition, max(lengths, key=lambda number: lengths[number]))
