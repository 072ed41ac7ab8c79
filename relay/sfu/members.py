"""The legs of one group, and what the fan-out keeps about them between packets.

Membership changes rarely, packets come all the time: so whatever sending needs of each leg is laid
out once after a change (`table`) and thrown away at the next. Pure; the table is the fan-out's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from relay.sfu.leg import Leg


class Members(list["Leg[Any]"]):
    """A list of legs; change it only by `add` and `drop`."""

    __slots__ = ("table",)

    def __init__(self) -> None:
        super().__init__()
        self.table: Any = None
        """The fan-out's layout of these members; None after each change."""

    def add(self, leg: Leg[Any]) -> None:
        """One leg more."""
        self.append(leg)
        self.table = None

    def drop(self, leg: Leg[Any]) -> None:
        """One leg less; ValueError when it is none of them."""
        self.remove(leg)
        self.table = None
