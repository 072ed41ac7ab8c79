"""What the line upwards asks of the relays below this one; `children` knows them.

Two modules meet here so that neither imports the other. `Nobody` stands where there are none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from classroom.wire import RelayNode, RoomRung


class Below(Protocol):
    """All relays below, at any depth."""

    def observe(self, observer: Callable[[str], None]) -> Callable[[], None]:
        """Call `observer(lesson)` when rooms of a lesson came or went; the result ends it."""

    def lessons(self) -> set[str]:
        """Lessons that have rooms there."""

    def rooms(self, lesson: str) -> Mapping[str, RoomRung]:
        """What they receive, each with the name of its school."""

    def count(self, lesson: str) -> int:
        """How many rooms watch."""

    def nodes(self) -> dict[str, RelayNode]:
        """The relays, by id."""


class Nobody:
    """No relays."""

    def observe(self, observer: Callable[[str], None]) -> Callable[[], None]:
        return lambda: None

    def lessons(self) -> set[str]:
        return set()

    def rooms(self, lesson: str) -> Mapping[str, RoomRung]:
        return {}

    def count(self, lesson: str) -> int:
        return 0

    def nodes(self) -> dict[str, RelayNode]:
        return {}
