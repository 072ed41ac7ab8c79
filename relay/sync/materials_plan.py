"""Which materials come next, whether they may, and which go when there is no room. PURE.

Here: the order of lists and files of lessons, when the link may be used for each, and the order in
which lists go. Not here: what is here already (`relay.cache.materials`), who has it, requests
(`materials`). Dates are unix seconds, the best that is known: a school's clock may be wrong by
decades.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from classroom.wire import urgency

# What a lesson needs that is planned within so long (s) comes outside windows too.
SOON_S: Final = 3 * 3600.0
# A lesson that should have begun so long ago (s) is late; before that it fell through, or a clock
# is wrong, and then nothing of it is urgent.
_LATE_S: Final = 12 * 3600.0
# What `urgency` says of a lesson that should have begun more than a day ago.
_FELL_THROUGH: Final = 2
# Of lessons that are over, thought of at a time; a library has thousands.
_PAST_MOST: Final = 16


class Tier(IntEnum):
    """Why it is wanted."""

    ASKED = 0
    """Somebody waits for it now."""
    SOON = 1
    """Its lesson runs, or begins within hours; or a list that is over was changed: a file may have
    been taken back, and it is a kilobyte."""
    COMING = 2
    """Its lesson is planned."""
    PAST = 3
    """Its lesson is over, and kept or fetched here."""


@dataclass(frozen=True, slots=True)
class Due:
    """A lesson of which something is not here.

    digest: of its list. planned_at: None for not known. coming: it is planned, or live: it runs.
    files: those that are not whole here, with the bytes still to come of each, in the list's order;
    None while the list is not here. older: an older list is here, and given out meanwhile.
    """

    lesson: str
    digest: str
    planned_at: float | None = None
    coming: bool = True
    live: bool = False
    files: tuple[tuple[str, int], ...] | None = None
    older: bool = False


@dataclass(frozen=True, slots=True)
class Fetch:
    """One thing to be done. digest: of a file, "" for the list. bytes: still to come of it."""

    lesson: str
    digest: str
    bytes: int
    tier: Tier

    @property
    def item(self) -> str:
        """The same for the same file, whichever lesson it is for."""
        return self.digest or f"list of {self.lesson}"


@dataclass(frozen=True, slots=True)
class Held:
    """A lesson as it counts when room is needed, for it or for another one.

    at: unix seconds for which it was planned, None for not known. coming, live: see `Due`. over: it
    was held; neither coming nor over: it was taken back, or nobody told of it. used: number of the
    last time that somebody asked for something of it, counted over all lessons; 0 for never.
    """

    lesson: str
    at: float | None
    coming: bool = False
    live: bool = False
    over: bool = False
    used: int = 0


def next_fetches(
    dues: Iterable[Due],
    asked: Collection[tuple[str, str]],
    date: float,
    *,
    dated: bool = True,
) -> Iterator[Fetch]:
    """Everything that is still to come, best first; of lessons that are over, only the first ones.
    Each file stands there once, however many lessons have it.

    asked: (lesson, digest of a file or "" for its list) that somebody waits for. dated: the date
    can be relied on; without that no lesson counts as one that fell through.
    """
    coming: list[Due] = []
    fell: list[Due] = []
    past: list[Due] = []
    for due in dues:
        if not due.coming and not due.older:
            past.append(due)
        elif due.coming and dated and fell_through(due.planned_at, date, live=due.live):
            fell.append(due)
        else:
            coming.append(due)
    for lessons in (coming, fell):
        lessons.sort(key=lambda due: _turn(due, date))
    # The newest first, as with recordings.
    newest = heapq.nsmallest(
        _PAST_MOST, past, key=lambda due: (-(due.planned_at or 0.0), due.lesson)
    )
    done: set[str] = set()
    for one in _asked([*coming, *past, *fell], asked) if asked else ():
        if one.item not in done:
            done.add(one.item)
            yield one
    # Nobody takes back what fell through, so it comes after all that somebody may need.
    for due in (*coming, *newest, *fell):
        tier = _tier(due, date)
        for digest, size in due.files if due.files is not None else (("", 0),):
            one = Fetch(due.lesson, digest, size, tier)
            if one.item not in done:
                done.add(one.item)
                yield one


def fell_through(planned_at: float | None, date: float, *, live: bool) -> bool:
    """Whether a lesson that is told as one to come should have begun so long ago that it never
    will."""
    return planned_at is not None and urgency(planned_at, date, live=live)[0] == _FELL_THROUGH


def giving_way(needy: Held, others: Iterable[Held], date: float | None) -> Iterator[str]:
    """The lessons whose lists may go for `needy`, first one first: those that were taken back, that
    fell through, that are over (of each the oldest first), those of which somebody asked for
    something lately, and of those to come the one planned last. Never one that runs.

    date: None where none can be relied on; then nothing that is to come goes.

    All of them and `needy` stand in one order, in which it may put out only what stands before it.
    So no two put out each other in turn.
    """
    own = _rank(needy, date)
    found = [
        (_rank(other, date), other.lesson)
        for other in others
        if other.lesson != needy.lesson and not other.live and not (other.coming and date is None)
    ]
    # Of two of one moment the one stays whose name comes first, as it comes first when fetching.
    found.sort(key=lambda one: one[1], reverse=True)
    found.sort(key=lambda one: one[0])
    for rank, lesson in found:
        if (rank, needy.lesson) < (own, lesson):
            yield lesson


def _rank(held: Held, date: float | None) -> tuple[float, float, float, float]:
    """Lowest goes first."""
    at = held.at or 0.0
    fell = held.coming and date is not None and fell_through(held.at, date, live=held.live)
    if held.coming and not fell:
        tier, (group, when), _ = _turn(Due(held.lesson, "", held.at, live=held.live), date or 0.0)
        return 4.0, -tier, -group, -when
    if held.used:
        return 3.0, held.used, 0.0, 0.0
    if fell:
        return 1.0, at, 0.0, 0.0
    return (2.0 if held.over else 0.0), at, 0.0, 0.0


def may_come(
    fetch: Fetch, *, near: bool, refusal: str, spent: bool, metered: bool, waits: bool
) -> bool:
    """Whether it may be asked for now.

    near: not over the weak link. refusal: why nothing may cross that ("" when it may), see
    `Sync.look`. spent: the day's budget is used up. metered: every byte of the link costs money.
    waits: a pupil waits for a part of a recording.
    """
    if refusal in ("import", "disk"):
        return False
    if near:
        return True
    if refusal == "window":
        if fetch.tier > Tier.SOON or spent:
            return False
    elif refusal:
        return False
    if fetch.tier is not Tier.ASKED and waits:
        return False
    return not (metered and fetch.tier is Tier.PAST)


def _asked(dues: Iterable[Due], asked: Collection[tuple[str, str]]) -> Iterator[Fetch]:
    for due in dues:
        if due.files is None:
            # Whatever is asked for of it, the list comes first.
            if (due.lesson, "") in asked:
                yield Fetch(due.lesson, "", 0, Tier.ASKED)
            continue
        for digest, size in due.files:
            if (due.lesson, digest) in asked:
                yield Fetch(due.lesson, digest, size, Tier.ASKED)


def _tier(due: Due, date: float) -> Tier:
    if not due.coming:
        return Tier.SOON if due.older else Tier.PAST
    # One without a date may begin at any time.
    if due.live or due.planned_at is None or -_LATE_S <= due.planned_at - date <= SOON_S:
        return Tier.SOON
    return Tier.COMING


def _turn(due: Due, date: float) -> tuple[Tier, tuple[int, float], str]:
    when = date if due.planned_at is None else due.planned_at
    return _tier(due, date), urgency(when, date, live=due.live), due.lesson
