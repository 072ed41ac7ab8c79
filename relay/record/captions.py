"""Adding captions to an archive: `classroom-relay captions`, at the root, after the lesson.

Here: checking a WebVTT file, putting it into the archive and into its extras. Not here: what extras
are (classroom.archive.extras), WebVTT beyond its first line (W3C WebVTT 4.1), which players read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from classroom.archive.canonical import digest
from classroom.archive.extras import MAX_CAPTIONS_BYTES, Captions, Extras
from classroom.archive.names import CAPTIONS, EXTRAS, MANIFEST, captions_name, is_lesson
from classroom.errors import Misuse, Refused
from relay.cache.files import make_directory, write_atomic

_BEGIN: Final = "WEBVTT"
_ARROW: Final = "-->"


def add_captions(archives: Path, lesson: str, file: Path, language: str, label: str) -> Captions:
    """Put `file` into the archive of `lesson` as its captions in `language`, in place of earlier
    ones. Raises Misuse with a sentence."""
    archive = archives / lesson
    if not is_lesson(lesson) or not (archive / MANIFEST).is_file():
        raise Misuse(f"there is no finished recording of {lesson!r} in {archives}")
    data = _read(file)
    captions = Captions(language.lower(), label, len(data), digest(data))
    try:
        kept = Extras.decode((archive / EXTRAS).read_bytes())
    except FileNotFoundError:
        kept = Extras(lesson)
    except Refused as error:
        raise Misuse(f"{archive / EXTRAS} cannot be read: {error.detail}") from error
    others = [one for one in kept.captions if one.language != captions.language]
    ordered = tuple(sorted((*others, captions), key=lambda one: one.language))
    extras = Extras(lesson, kept.manifest, ordered, kept.copies)
    try:
        # Written as it will be read: a bad language or label is found before anything changes.
        Extras.decode(extras.encode())
    except Refused as error:
        raise Misuse(f"these captions cannot be added: {error.detail}") from error
    try:
        make_directory(archive / CAPTIONS)
        write_atomic(archive / CAPTIONS / captions_name(captions.language), data)
        write_atomic(archive / EXTRAS, extras.encode())
    except OSError as error:
        raise Misuse(f"the captions cannot be written: {error}") from error
    return captions


def _read(file: Path) -> bytes:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise Misuse(f"cannot read {file}: {error.strerror}") from error
    if len(data) > MAX_CAPTIONS_BYTES:
        raise Misuse(f"{file} is larger than {MAX_CAPTIONS_BYTES} bytes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Misuse(f"{file} is not UTF-8; save it again in this encoding") from error
    if not text.startswith(_BEGIN) or _ARROW not in text:
        raise Misuse(f"{file} is not WebVTT: its first line must begin with WEBVTT")
    return data
