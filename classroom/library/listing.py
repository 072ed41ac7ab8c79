"""What a request for a list of lessons asks: words, filters, and which part of what is found.

Both planes answer `GET /api/lessons`, so the reading of its query string stands here once: each
value is checked, and what is wrong is told by its name. `token` is passed over: it says who asks.
Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from classroom.errors import Refused
from classroom.library.search import Query
from classroom.wire import LessonState

# A page of the library shows some dozens; 2000 lessons are about a megabyte of JSON.
USUAL_LIMIT: Final = 500
MOST_LIMIT: Final = 2000
# More than any library holds; it only bounds the number.
_MOST_OFFSET: Final = 10**9
_WORDS_CHARS: Final = 200
_LABEL_CHARS: Final = 60

_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class Listing:
    """The query, and the part of what it finds: `limit` lessons after the first `offset`."""

    query: Query
    limit: int = USUAL_LIMIT
    offset: int = 0

    def part(self, found: Sequence[_Item]) -> Sequence[_Item]:
        """Those of `found` that are asked for."""
        return found[self.offset : self.offset + self.limit]


def read_listing(values: Mapping[str, str]) -> Listing:
    """The query string of a request as a `Listing`; raises Refused 400 field-invalid."""
    for name in values:
        if name not in ("q", "subject", "grade", "school", "state", "limit", "offset", "token"):
            raise _invalid(name[:60] or "query", "left out: it is unknown here")
    return Listing(
        Query(
            _text(values, "q", _WORDS_CHARS) or "",
            _text(values, "subject", _LABEL_CHARS),
            _text(values, "grade", _LABEL_CHARS),
            _states(values),
            _text(values, "school", _LABEL_CHARS),
        ),
        _whole(values, "limit", 1, MOST_LIMIT, USUAL_LIMIT),
        _whole(values, "offset", 0, _MOST_OFFSET, 0),
    )


def _text(values: Mapping[str, str], name: str, most: int) -> str | None:
    """The value without outer spaces, None if there is none or an empty one."""
    value = values.get(name, "").strip()
    if len(value) > most or not all(letter.isprintable() for letter in value):
        raise _invalid(name, f"text in one line of at most {most} characters")
    return value or None


def _states(values: Mapping[str, str]) -> frozenset[str] | None:
    asked = frozenset(filter(None, (one.strip() for one in values.get("state", "").split(","))))
    known = [state.value for state in LessonState]
    if not asked <= frozenset(known):
        raise _invalid("state", f"one or more of {', '.join(known)}, with commas between them")
    return asked or None


def _whole(values: Mapping[str, str], name: str, low: int, high: int, usual: int) -> int:
    value = values.get(name)
    if value is None:
        return usual
    # Ten digits hold the highest bound; int() would take far longer numbers, and other digits.
    if value.isascii() and value.isdigit() and len(value) <= 10 and low <= int(value) <= high:
        return int(value)
    raise _invalid(name, f"a whole number from {low} to {high}")


def _invalid(field: str, expected: str) -> Refused:
    return Refused(
        400,
        "field-invalid",
        f"{field} must be {expected}.",
        fix="Correct this field and send the request again.",
        field=field,
    )
