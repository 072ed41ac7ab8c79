"""Searches lessons the way people type: no diacritics, any case, words in any order, part words.

A lesson matches when each word of the query begins some word of its title, teacher, subject,
grade or id. Matches in the title come first, then the newest. This is a linear scan: at 15,000
lessons about a megabyte of text, whose folding is remembered from query to query. Pure.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, TypeVar

# Letters with a stroke have no decomposition in Unicode, so they are folded by hand.
# ð and Ð are other letters that look the same and are typed by mistake.
_STROKES = str.maketrans({"đ": "d", "ð": "d"})


class Entry(Protocol):
    """What a lesson must show to be found; dates in unix seconds."""

    @property
    def id(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def teacher(self) -> str: ...
    @property
    def subject(self) -> str | None: ...
    @property
    def grade(self) -> str | None: ...
    @property
    def state(self) -> str: ...
    @property
    def started_at(self) -> float | None: ...
    @property
    def planned_at(self) -> float | None: ...


AnyEntry = TypeVar("AnyEntry", bound=Entry)


@dataclass(frozen=True, slots=True)
class Query:
    """What to look for. Empty words and None filters match everything."""

    words: str = ""
    subject: str | None = None
    grade: str | None = None
    states: frozenset[str] | None = None


def fold(text: str) -> str:
    """`text` in lower case without diacritics: "Đường thẳng" becomes "duong thang".

    Works on composed and decomposed input alike (keyboards and file names differ).
    """
    decomposed = unicodedata.normalize("NFKD", text.casefold().translate(_STROKES))
    bare = "".join(character for character in decomposed if not unicodedata.combining(character))
    # Decomposing can bring out capitals again (㎞ is fine, ℡ gives TEL).
    return bare.casefold()


def search(entries: Iterable[AnyEntry], query: Query) -> list[AnyEntry]:
    """The entries that match `query`: title matches first, each group newest first."""
    words = _words(query.words)
    found: list[tuple[bool, float, str, AnyEntry]] = []
    for entry in entries:
        if not _passes(entry, query):
            continue
        title = _words(entry.title)
        rest = _words(f"{entry.teacher} {entry.subject or ''} {entry.grade or ''} {entry.id}")
        if all(_begins(word, title) or _begins(word, rest) for word in words):
            in_title = all(_begins(word, title) for word in words)
            found.append(
                (not in_title, -(entry.started_at or entry.planned_at or 0.0), entry.id, entry)
            )
    found.sort(key=lambda item: item[:3])
    return [item[3] for item in found]


def _passes(entry: Entry, query: Query) -> bool:
    return (
        (query.states is None or entry.state in query.states)
        and (query.subject is None or _words(query.subject) == _words(entry.subject or ""))
        and (query.grade is None or _words(query.grade) == _words(entry.grade or ""))
    )


# Twice the texts of a library of 15,000 lessons (a title and a line of the rest each), about 15 MB.
@functools.lru_cache(maxsize=60_000)
def _words(text: str) -> tuple[str, ...]:
    spaced = "".join(character if character.isalnum() else " " for character in fold(text))
    return tuple(spaced.split())


def _begins(word: str, words: tuple[str, ...]) -> bool:
    return any(candidate.startswith(word) for candidate in words)
