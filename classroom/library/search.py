"""Searches lessons the way people type: no diacritics, any case, words in any order, part words.

A lesson matches when each word of the query begins some word of its title, teacher, subject,
grade, school or id. Matches in the title come first, then the newest. `search` looks through
lessons at hand; for the thousands in a database, `indexed` gives what is to be kept of each so that
looking for `stems` in it finds the same. Pure.
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
    def school(self) -> str | None: ...
    @property
    def state(self) -> str: ...
    @property
    def started_at(self) -> float | None: ...
    @property
    def planned_at(self) -> float | None: ...


AnyEntry = TypeVar("AnyEntry", bound=Entry)

Rank = tuple[bool, float, str]
"""Sorts what was found: title matches first, the newest first, then by id."""


@dataclass(frozen=True, slots=True)
class Indexed:
    """What a database keeps of a lesson to find it by.

    title, rest: folded words, a blank before each (" dinh luat om"), so that a word begins where
    its stem (" lu") is found. subject, grade, school: as `folded` gives them. at: unix seconds that
    it is sorted by, 0 while unknown.
    """

    title: str
    rest: str
    subject: str
    grade: str
    school: str
    at: float


@dataclass(frozen=True, slots=True)
class Query:
    """What to look for. Empty words and None filters match everything."""

    words: str = ""
    subject: str | None = None
    grade: str | None = None
    states: frozenset[str] | None = None
    school: str | None = None


def fold(text: str) -> str:
    """`text` in lower case without diacritics: "Đường thẳng" becomes "duong thang".

    Works on composed and decomposed input alike (keyboards and file names differ).
    """
    decomposed = unicodedata.normalize("NFKD", text.casefold().translate(_STROKES))
    bare = "".join(character for character in decomposed if not unicodedata.combining(character))
    # Decomposing can bring out capitals (℡ gives TEL) and letters with a stroke (ᶞ gives ð) again.
    return bare.casefold().translate(_STROKES)


def search(entries: Iterable[AnyEntry], query: Query) -> list[AnyEntry]:
    """The entries that match `query`: title matches first, each group newest first."""
    found = [(place, entry) for entry in entries if (place := rank(entry, query)) is not None]
    found.sort(key=lambda item: item[0])
    return [entry for _, entry in found]


def rank(entry: Entry, query: Query) -> Rank | None:
    """Where `entry` stands among what `query` finds, None if it is not found."""
    if not _passes(entry, query):
        return None
    words = _words(query.words)
    title = _words(entry.title)
    rest = _words(_rest(entry))
    if not all(_begins(word, title) or _begins(word, rest) for word in words):
        return None
    in_title = all(_begins(word, title) for word in words)
    return (not in_title, -(entry.started_at or entry.planned_at or 0.0), entry.id)


def indexed(entry: Entry) -> Indexed:
    """What a database keeps of `entry`."""
    return Indexed(
        _spaced(entry.title),
        _spaced(_rest(entry)),
        folded(entry.subject or ""),
        folded(entry.grade or ""),
        folded(entry.school or ""),
        entry.started_at or entry.planned_at or 0.0,
    )


def stems(words: str) -> tuple[str, ...]:
    """What each word of a query is to be looked for as, in `Indexed.title` or `rest`.

    Letters and digits after one blank: nothing in it needs an escape.
    """
    return tuple(f" {word}" for word in _words(words))


def folded(label: str) -> str:
    """A subject, grade or school as it is compared: without marks, case and signs."""
    return " ".join(_words(label))


def _passes(entry: Entry, query: Query) -> bool:
    return (
        (query.states is None or entry.state in query.states)
        and (query.subject is None or _words(query.subject) == _words(entry.subject or ""))
        and (query.grade is None or _words(query.grade) == _words(entry.grade or ""))
        and (query.school is None or _words(query.school) == _words(entry.school or ""))
    )


def _rest(entry: Entry) -> str:
    labels = f"{entry.subject or ''} {entry.grade or ''} {entry.school or ''}"
    return f"{entry.teacher} {labels} {entry.id}"


def _spaced(text: str) -> str:
    return "".join(f" {word}" for word in _words(text))


# The lessons that run or are to come, over and over; a library of thousands is in a database.
@functools.lru_cache(maxsize=4_000)
def _words(text: str) -> tuple[str, ...]:
    spaced = "".join(character if character.isalnum() else " " for character in fold(text))
    return tuple(spaced.split())


def _begins(word: str, words: tuple[str, ...]) -> bool:
    return any(candidate.startswith(word) for candidate in words)
