"""Names inside an archive: renditions, initialisation files, segments. PURE.

Here: making names and recognising them, so that nothing outside these patterns is ever opened or
served. Not here: directories and files. FORMAT.md, section "Files".
"""

from __future__ import annotations

import re
from typing import Final

LESSON_PATTERN: Final = re.compile(r"[a-z0-9][a-z0-9-]{2,39}")
RENDITION_PATTERN: Final = re.compile(r"voice|(?:camera|screen)(?:-[a-z0-9]{1,16})?")
COPY_PATTERN: Final = re.compile(r"aac-voice|h264-(?:camera|screen)")
"""Renditions made after the lesson in a codec that old devices play. FORMAT.md, extras.json."""
LANGUAGE_PATTERN: Final = re.compile(r"[a-z]{2,3}(?:-[a-z0-9]{2,8}){0,3}")
"""A language of captions (BCP 47), in lower case, since it names a file."""
_INIT: Final = re.compile(r"init-(0|[1-9][0-9]{0,5})\.mp4")
_SEGMENT: Final = re.compile(r"(0|[1-9][0-9]{0,8})(?:-([1-9][0-9]{0,5}))?\.m4s")
_CAPTIONS: Final = re.compile(rf"({LANGUAGE_PATTERN.pattern})\.vtt")

HEADER: Final = "lesson.json"
JOURNAL: Final = "journal.jsonl"
EVENTS: Final = "events.jsonl"
MANIFEST: Final = "manifest.json"
EXTRAS: Final = "extras.json"
CAPTIONS: Final = "captions"
"""Directory of the WebVTT files."""
AAC_VOICE: Final = "aac-voice"
GROWING: Final = ".part"
"""Suffix of a segment that is still being written; it is renamed when it is whole."""

VIDEO_TIMESCALE: Final = 90_000
VOICE_TIMESCALE: Final = 48_000


def is_lesson(name: str) -> bool:
    """Whether `name` is a lesson id, and so safe as a directory's name."""
    return LESSON_PATTERN.fullmatch(name) is not None


def is_rendition(name: str) -> bool:
    """Whether `name` is a rendition's, and so safe as a directory's name."""
    return RENDITION_PATTERN.fullmatch(name) is not None


def rendition_name(source: str, rid: str | None) -> str:
    """The rendition that records `source` ("voice", "camera", "screen") in simulcast layer `rid`.

    Characters outside a-z and 0-9 of a rid are left out; a rid with none of these counts as none.
    """
    layer = re.sub(r"[^a-z0-9]", "", (rid or "").lower())[:16]
    return f"{source}-{layer}" if layer and source != "voice" else source


def is_copy(name: str) -> bool:
    """Whether `name` is a copy's of `extras.json`, and so safe as a directory's name."""
    return COPY_PATTERN.fullmatch(name) is not None


def is_voice(rendition: str) -> bool:
    """Whether a rendition, or a copy, is of the voice."""
    return rendition in ("voice", AAC_VOICE)


def timescale(rendition: str) -> int:
    """Ticks per second of a rendition's media time."""
    return VOICE_TIMESCALE if is_voice(rendition) else VIDEO_TIMESCALE


def init_name(number: int) -> str:
    return f"init-{number}.mp4"


def segment_name(beat: int, part: int) -> str:
    """`part` is 0 for the first segment that begins in a beat, and nearly always."""
    return f"{beat}-{part}.m4s" if part else f"{beat}.m4s"


def parse_init(name: str) -> int | None:
    """The number in an initialisation file's name, or None if it is no such name."""
    found = _INIT.fullmatch(name)
    return int(found[1]) if found else None


def parse_segment(name: str) -> tuple[int, int] | None:
    """(beat, part) of a segment's name, or None if it is no such name."""
    found = _SEGMENT.fullmatch(name)
    return (int(found[1]), int(found[2] or 0)) if found else None


def captions_name(language: str) -> str:
    return f"{language}.vtt"


def parse_captions(name: str) -> str | None:
    """The language in a captions file's name, or None if it is no such name."""
    found = _CAPTIONS.fullmatch(name)
    return found[1] if found else None
