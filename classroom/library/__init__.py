"""The catalogue: finding lessons by words typed without marks, by subject, grade, school and state.

The control plane uses it on all lessons, a relay offline on those it holds. Pure: it takes any
objects that look like `Entry` and gives back some of them, or what a database keeps of them.
"""

from classroom.library.listing import MOST_LIMIT, USUAL_LIMIT, Listing, read_listing
from classroom.library.search import (
    Entry,
    Indexed,
    Query,
    Rank,
    fold,
    folded,
    indexed,
    rank,
    search,
    stems,
)

__all__ = [
    "MOST_LIMIT",
    "USUAL_LIMIT",
    "Entry",
    "Indexed",
    "Listing",
    "Query",
    "Rank",
    "fold",
    "folded",
    "indexed",
    "rank",
    "read_listing",
    "search",
    "stems",
]
