"""The legs of one group, and what the fan-out keeps about them between packets.

Membership changes rarely, packets come all the time: so whatever sending needs of each leg is laid
out once after a change (`table`) and thrown away at the next. As a list it holds the legs that are
sent to at once; those whose link must get its packets one after the other stand in `held`. Pure;
the table is the fan-out's.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from relay.sfu.leg import Leg


class Members(list["Leg[Any]"]):
    """A list of legs; change it only by the methods defined here."""

    __slots__ = ("_tightest", "held", "table")

    def __init__(self) -> None:
        super().__init__()
        self.table: Any = None
        """The fan-out's layout of these members; None after each change."""
        self.held: list[Leg[Any]] = []
        self._tightest: float | None = None

    def everyone(self) -> Iterator[Leg[Any]]:
        """All members, held or not."""
        return chain(self, self.held)

    @property
    def is_empty(self) -> bool:
        """Whether there is no member at all."""
        return not self and not self.held

    @property
    def tightest(self) -> float:
        """Bytes that every one of the list takes at once: see `Pace.burst`."""
        if self._tightest is None:
            self._tightest = min(
                (leg.pace.burst for leg in self if leg.pace is not None), default=float("inf")
            )
        return self._tightest

    def paces_changed(self) -> None:
        """What some members take at once has changed."""
        self._tightest = None

    def add(self, leg: Leg[Any]) -> None:
        """One leg more."""
        if leg.waits:
            self.held.append(leg)
            return
        self.append(leg)
        self.table = self._tightest = None

    def drop(self, leg: Leg[Any]) -> None:
        """One leg less; ValueError when it is none of them."""
        if leg in self.held:
            self.held.remove(leg)
            return
        self.remove(leg)
        self.table = self._tightest = None

    def hold(self, legs: list[Leg[Any]]) -> None:
        """From now on these, which are in the list, get each packet through their pace."""
        if not legs:
            return
        gone = set(map(id, legs))
        self[:] = [leg for leg in self if id(leg) not in gone]
        self.held.extend(legs)
        self.table = self._tightest = None

    def reconsider(self, leg: Leg[Any]) -> None:
        """Whether one of the members waits may have changed."""
        if leg.waits:
            if leg not in self.held:
                self.hold([leg])
            return
        if leg not in self.held:
            return
        self.held.remove(leg)
        self.append(leg)
        self.table = self._tightest = None
