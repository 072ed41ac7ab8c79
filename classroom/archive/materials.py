"""`materials.json`: the files that a teacher gives along with a lesson, each by its digest. PURE.

Here: its form, strict reading, which names and kinds of files may be among them. Not here: the
files themselves, who may add one. The list and the files are known by their SHA-256, so a school's
relay brings them before the lesson from whoever has them, and once. FORMAT.md, section
"materials.json".
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from classroom.archive import canonical
from classroom.archive.canonical import Members, malformed
from classroom.archive.contents import FORMAT
from classroom.archive.names import LESSON_PATTERN
from classroom.errors import Refused

MAX_MATERIALS: Final = 20
MAX_NAME: Final = 120
MAX_MATERIAL_BYTES: Final = 500 * 10**6
"""What a list may say of one file; how much is taken from teachers is a setting."""
MAX_LIST_BYTES: Final = 64 * 1024
"""A list of the most and longest names takes half of it."""

# By suffix, as it is served. Nothing among them that a browser runs (HTML, SVG).
MEDIA_TYPES: Final[Mapping[str, str]] = {
    "pdf": "application/pdf",
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "gif": "image/gif",
    "avif": "image/avif",
    "mp4": "video/mp4",
    "webm": "video/webm",
    "mp3": "audio/mpeg",
    "m4a": "audio/mp4",
    "ogg": "audio/ogg",
    "wav": "audio/wav",
    "txt": "text/plain; charset=utf-8",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "doc": "application/msword",
    "ppt": "application/vnd.ms-powerpoint",
    "xls": "application/vnd.ms-excel",
    "odt": "application/vnd.oasis.opendocument.text",
    "odp": "application/vnd.oasis.opendocument.presentation",
    "ods": "application/vnd.oasis.opendocument.spreadsheet",
}
"""Media types by a name's suffix in lower case."""


@dataclass(frozen=True, slots=True)
class Material:
    """One file. name: for people, unique in its list, its suffix a key of `MEDIA_TYPES`."""

    name: str
    bytes: int
    digest: str

    @property
    def media_type(self) -> str:
        """What it is served as."""
        return MEDIA_TYPES[_suffix(self.name)]


@dataclass(frozen=True, slots=True)
class Materials:
    """The list of one lesson, in the order in which they were given; none is no list."""

    lesson: str
    materials: tuple[Material, ...]

    @property
    def total_bytes(self) -> int:
        """Of all files."""
        return sum(one.bytes for one in self.materials)

    def find(self, digest: str) -> Material | None:
        """The file with this digest."""
        return next((one for one in self.materials if one.digest == digest), None)

    def encode(self) -> bytes:
        """Canonical JSON, a newline at the end; its SHA-256 is the list's digest."""
        return canonical.encode(
            {
                "format": FORMAT,
                "lesson": self.lesson,
                "materials": [
                    {"name": one.name, "bytes": one.bytes, "digest": one.digest}
                    for one in self.materials
                ],
            }
        )

    @classmethod
    def decode(cls, data: bytes) -> Materials:
        """Raises Refused 400 `archive-malformed`."""
        if len(data) > MAX_LIST_BYTES:
            raise malformed("materials", f"materials take more than {MAX_LIST_BYTES} bytes")
        members = Members.parse(data, "materials")
        members.integer("format", FORMAT, FORMAT)
        items = members.list("materials")
        if len(items) > MAX_MATERIALS:
            raise malformed("materials.materials", f"more than {MAX_MATERIALS} materials")
        found = tuple(_read(Members(item, "materials.materials")) for item in items)
        for what, values in (
            ("name", [one.name for one in found]),
            ("digest", [one.digest for one in found]),
        ):
            if len(set(values)) != len(values):
                raise malformed(f"materials.materials.{what}", f"a {what} stands there twice")
        return cls(members.text("lesson", LESSON_PATTERN), found)


def check_name(name: str) -> str:
    """A file's name as it may stand in a list, composed (NFC) and without spaces at its ends.

    Raises Refused 400 `material-name` or 415 `material-type`.
    """
    told = unicodedata.normalize("NFC", name).strip()
    if not is_name(told):
        raise Refused(
            400,
            "material-name",
            f"“{told[:60]}” cannot be the name of a file.",
            fix=f"Rename the file: 1 to {MAX_NAME} characters, no slash, no dot in front.",
            field="name",
        )
    if _suffix(told) not in MEDIA_TYPES:
        raise Refused(
            415,
            "material-type",
            f"Files like “{told[-60:]}” are not taken.",
            fix="Save it as PDF, picture, sound, MP4 or an office document, and add that.",
            field="name",
        )
    return told


def is_name(name: str) -> bool:
    """Whether it can be the last part of a path on any system, in letters that can be shown."""
    return (
        0 < len(name) <= MAX_NAME
        and name.isprintable()
        and name == unicodedata.normalize("NFC", name).strip()
        and not name.startswith(".")
        and not any(sign in name for sign in '/\\:*?"<>|')
    )


def _suffix(name: str) -> str:
    return name.rpartition(".")[2].lower() if "." in name else ""


def _read(members: Members) -> Material:
    name = members.text("name")
    if not is_name(name) or _suffix(name) not in MEDIA_TYPES:
        raise malformed("materials.materials.name", "a name is not that of a file")
    return Material(name, members.integer("bytes", 1, MAX_MATERIAL_BYTES), members.digest("digest"))
