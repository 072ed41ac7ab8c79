"""The catalogue: finding lessons by words typed without marks, by subject, grade and state.

The control plane uses it on all lessons, a relay offline on those it holds. Pure: it takes any
objects that look like `Entry` and gives back some of them.
"""

from classroom.library.listing import MOST_LIMIT, USUAL_LIMIT, Listing, read_listing
from classroom.library.search import Entry, Query, fold, search

__all__ = [
    "MOST_LIMIT",
    "USUAL_LIMIT",
    "Entry",
    "Listing",
    "Query",
    "fold",
    "read_listing",
    "search",
]
