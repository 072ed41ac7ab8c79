"""What a recording below another relay waits for before it goes on. PURE.

Here: whether what is to be known of a lesson's media has been told, and the patience with a parent
that does not tell. Not here: what is told (`told`), what is held meanwhile (`session`). Media
crosses the link by itself and arrives without it; recorded by guesses, it would have other bytes
than above, and all of it would be fetched again. Times are seconds of a clock that never jumps.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from relay.record.feed import End, LessonEnd, Packet, Sync, Track
from relay.record.told import Told

LessonRecord = Track | Packet | Sync | End | LessonEnd

PATIENCE: Final = 20.0
"""s. A line that was lost together with the media is back sooner: it is tried again every few
seconds. The media process keeps 30 s for us."""

GRACE: Final = 3.0
"""s. What the parent says after an outage comes in several messages, the anchors of tracks last and
by way of the media process; TCP may have to repeat any of them."""
_SILENCE: Final = 5.0  # s without media, after which patience begins anew


class Awaited:
    """One lesson's. `is_waiting` says whether its records are to be held."""

    def __init__(self, patience: float = PATIENCE) -> None:
        """patience: seconds after which a recording goes on without being told."""
        self.told: Told | None = None
        self._patience = patience
        self._stale = self._again = False
        """Nothing was told since the line was lost; it was, and the rest may follow."""
        self._takes: dict[int, tuple[str, int]] = {}
        """Of the tracks that live: whose media it is."""
        self._since: float | None = None
        self._told_at: float | None = None
        self._heard = float("-inf")

    def tell(self, told: Told) -> None:
        """The parent said what it records, now."""
        self._again = self._again or self._stale
        self.told, self._stale = told, False

    def lose(self) -> None:
        """The line to the parent is gone: what it tells next may be news of what came before."""
        self._stale = True

    def receive(self, record: LessonRecord, now: float) -> None:
        """Take note of whose media comes, and when."""
        if isinstance(record, Packet):
            if now - self._heard > _SILENCE:
                self._since = None  # what came before the outage waited for itself
            self._heard = now
        elif isinstance(record, Track):
            self._takes[record.track] = (record.origin, record.epoch)
        elif isinstance(record, End):
            self._takes.pop(record.track, None)

    def clear(self) -> None:
        """No track of before lives any more."""
        self._takes.clear()

    def is_waiting(self, now: float) -> bool:
        """Whether something is not known that is worth waiting for."""
        if self._lacks():
            self._told_at = None
            if self._since is None:
                self._since = now
            return now - self._since < self._patience
        self._since = None
        if self._again:
            if self._told_at is None:
                self._told_at = now
            self._again = now - self._told_at < GRACE
        return self._again

    def _lacks(self) -> bool:
        if self.told is None or self._stale:
            return True
        known = {(take.feed, take.epoch) for take in self.told.takes}
        return any(take not in known for take in self._takes.values() if take[0])


def anchors_first(held: Iterable[tuple[int, LessonRecord]]) -> list[tuple[int, LessonRecord]]:
    """What was held, with each track's anchors before its packets: they came late, and say
    themselves from which packet on they are in force."""
    anchors: dict[int, list[tuple[int, LessonRecord]]] = {}
    rest: list[tuple[int, LessonRecord]] = []
    for item in held:
        if isinstance(item[1], Sync):
            anchors.setdefault(item[1].track, []).append(item)
        else:
            rest.append(item)
    begun = {record.track for _, record in rest if isinstance(record, Track)}
    order = [item for track, items in anchors.items() if track not in begun for item in items]
    for item in rest:
        order.append(item)
        if isinstance(item[1], Track):
            order += anchors.pop(item[1].track, [])
    return order
