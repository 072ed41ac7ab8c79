"""What one relay tells another of a whole archive, before anything of it is fetched.

Here: its form in JSON, strict reading of what a source says, and reading it from an archive's
directory. Not here: the list of all of them (`offers`), fetching. SYNC.md, section "Offers".
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from classroom.archive import canonical
from classroom.archive.canonical import DIGEST_PATTERN, Members, malformed
from classroom.archive.manifest import MAX_RENDITIONS, Manifest
from classroom.archive.names import EVENTS, EXTRAS, JOURNAL, MANIFEST, is_lesson, is_rendition
from classroom.errors import Refused

_log: Final = logging.getLogger("relay.sync")

ABOUT: Final = "about.json"
WORDS: Final = (
    *("title", "subject", "grade", "school", "teacher", "planned_at", "started_at"),
    *("materials", "materials_at"),
)
"""materials: digest of the list of the lesson's materials. materials_at: where that changed after
the lesson, see `ListChange`. Older relays know nothing of them."""
_WORDS_CHARS: Final = 300
_LAST_DATE: Final = 253_402_300_800  # unix seconds; what lies beyond is no date (year 9999)


@dataclass(frozen=True, slots=True)
class Offer:
    """A whole archive. manifest, journal, events, extras: SHA-256 of these files, "" for one that
    is not there. size: bytes of the manifest. bytes: of all renditions; renditions: of each. about:
    words about the lesson, as the library keeps them."""

    lesson: str
    manifest: str
    size: int
    bytes: int
    epoch_ms: int
    journal: str
    events: str
    extras: str
    renditions: Mapping[str, int]
    about: Mapping[str, str | float]

    def as_json(self) -> dict[str, Any]:
        """As it is told."""
        return {
            "lesson": self.lesson,
            "manifest": self.manifest,
            "size": self.size,
            "bytes": self.bytes,
            "epoch_ms": self.epoch_ms,
            "journal": self.journal,
            "events": self.events,
            "extras": self.extras,
            "renditions": dict(self.renditions),
            "about": dict(self.about),
        }


def read_offer(value: object) -> Offer:
    """An `Offer` as a source tells it. Raises Refused 400 `archive-malformed`."""
    members = Members(value, "offer")
    lesson = read_lesson(members)
    shares = members.members("renditions")
    names = sorted(members.map("renditions"))
    if len(names) > MAX_RENDITIONS or not all(is_rendition(name) for name in names):
        raise malformed("offer.renditions", "renditions are not known, or too many")
    journal, events, extras = (
        members.digest(name) if members.text(name) else ""
        for name in ("journal", "events", "extras")
    )
    return Offer(
        lesson=lesson,
        manifest=members.digest("manifest"),
        size=members.integer("size"),
        bytes=members.integer("bytes"),
        epoch_ms=members.integer("epoch_ms"),
        journal=journal,
        events=events,
        extras=extras,
        renditions={name: shares.integer(name) for name in names},
        about=words(members.map("about")),
    )


def read_lesson(members: Members) -> str:
    """The id in an offer, or in the news that one is gone. Raises Refused."""
    lesson = members.text("lesson")
    if not is_lesson(lesson):
        raise malformed("offer.lesson", "lesson is no lesson's id")
    return lesson


def words(about: Mapping[str, object]) -> dict[str, str | float]:
    """What may be taken over of the words about a lesson."""
    found: dict[str, str | float] = {}
    for name in WORDS:
        value = about.get(name)
        if isinstance(value, str):
            if len(value) <= _WORDS_CHARS:
                # Half a pair of surrogates, which JSON can say, is nothing that can be kept.
                found[name] = value.encode(errors="replace").decode()
        elif isinstance(value, bool) or not isinstance(value, int | float):
            continue
        elif abs(value) < _LAST_DATE:  # not so for NaN
            found[name] = float(value)
    return found


def offer_of(directory: Path) -> Offer | None:
    """What is in an archive's directory; None when that is no whole archive. Blocks."""
    try:
        data = (directory / MANIFEST).read_bytes()
        manifest = Manifest.decode(data)
    except FileNotFoundError:
        return None
    except (OSError, Refused) as error:
        _log.warning("archive-unreadable", extra={"lesson": directory.name, "reason": str(error)})
        return None
    if not manifest.finished or manifest.lesson != directory.name:
        return None
    return Offer(
        lesson=manifest.lesson,
        manifest=canonical.digest(data),
        size=len(data),
        bytes=manifest.size,
        epoch_ms=manifest.epoch_ms,
        journal=_digest(directory / JOURNAL),
        events=_digest(directory / EVENTS),
        extras=_digest(directory / EXTRAS),
        renditions={rendition.name: rendition.size for rendition in manifest.renditions},
        about=about_of(directory),
    )


def about_of(directory: Path) -> dict[str, str | float]:
    """The words beside an archive, none where there are none to be used. Blocks."""
    try:
        about = json.loads((directory / ABOUT).read_bytes())
    # RecursionError: nested brackets, which nobody wrote on purpose.
    except (OSError, ValueError, RecursionError):
        return {}
    return words(about) if isinstance(about, dict) else {}


def list_in(about: Mapping[str, object]) -> tuple[str | None, float]:
    """Of words about a lesson: the digest of the list of its materials, None for none that can be
    used, and the date of its late change, 0 where there was none."""
    digest, at = about.get("materials"), about.get("materials_at")
    if not isinstance(digest, str) or not DIGEST_PATTERN.fullmatch(digest):
        digest = None
    return digest, at if isinstance(at, float) and at > 0.0 else 0.0


def _digest(path: Path) -> str:
    try:
        return canonical.digest(path.read_bytes())
    except OSError:
        return ""
