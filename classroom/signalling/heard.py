"""What relays tell in pieces, put together: what rooms receive, and the relays below a relay.

One `HeardRooms` and one `HeardBelow` per connection of a relay, at the control plane and at a
parent relay alike. Only changes travel, so what was told before must be remembered, within bounds.
Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from classroom.wire import (
    MAX_NODES,
    RelayBelow,
    RelayNode,
    RelayRooms,
    RoomRung,
    VoiceWish,
)

# A relay holds up to 10,000 viewers; nobody reads a list of more rooms than a country's.
MOST_ROOMS: Final = 2_000
# A relay carries a few lessons at a time; what it says of more is passed over.
_MOST_LESSONS: Final = 100
# Schools of a country that one tree serves; what is said of more is passed over.
_MOST_BELOW: Final = 5_000


class HeardRooms:
    """Rooms of a relay's lessons, and how it wants the voice for them."""

    def __init__(self) -> None:
        self._rooms: dict[str, dict[str, RoomRung]] = {}
        self._wishes: dict[str, VoiceWish] = {}

    def receive(self, message: RelayRooms | VoiceWish) -> None:
        """Take the message."""
        lesson = message.lesson
        if lesson not in self._rooms and len(self._rooms) >= _MOST_LESSONS:
            oldest = next(iter(self._rooms))
            del self._rooms[oldest]
            self._wishes.pop(oldest, None)
        rooms = self._rooms.setdefault(lesson, {})
        if isinstance(message, VoiceWish):
            self._wishes[lesson] = message
            return
        if message.reset:
            rooms.clear()
        for key in message.gone:
            rooms.pop(key, None)
        for room in message.rooms:
            if room.room in rooms or len(rooms) < MOST_ROOMS:
                rooms[room.room] = room

    def lessons(self) -> set[str]:
        """Lessons that have rooms."""
        return {lesson for lesson, rooms in self._rooms.items() if rooms}

    def rooms(self, lesson: str) -> Mapping[str, RoomRung]:
        """By `room`."""
        return self._rooms.get(lesson, {})

    def wish(self, lesson: str) -> VoiceWish | None:
        """How the voice should be, None while it was not said."""
        return self._wishes.get(lesson)


class HeardBelow:
    """The relays below a relay, by id."""

    def __init__(self) -> None:
        self.nodes: dict[str, RelayNode] = {}

    def receive(self, message: RelayBelow) -> None:
        """Take the message."""
        if message.reset:
            self.nodes.clear()
        for gone in message.gone:
            self.nodes.pop(gone, None)
        for node in message.relays:
            if node.id in self.nodes or len(self.nodes) < _MOST_BELOW:
                self.nodes[node.id] = node


def told_below(
    before: Mapping[str, RelayNode] | None, now: Mapping[str, RelayNode]
) -> Iterator[RelayBelow]:
    """Messages that bring whoever knows `before` (None: nothing yet) to `now`."""
    known = before or {}
    new = [node for key, node in now.items() if known.get(key) != node]
    gone = [key for key in known if key not in now]
    if before is not None and not new and not gone:
        return
    for start in range(0, max(len(new), len(gone), 1), MAX_NODES):
        some, left = new[start : start + MAX_NODES], gone[start : start + MAX_NODES]
        yield RelayBelow(before is None and start == 0, tuple(some), tuple(left))


def poorest(one: VoiceWish | None, other: VoiceWish | None) -> VoiceWish | None:
    """The wish that asks for less; there is one voice for the rooms of all relays."""
    if one is None or other is None:
        return one or other
    return min(one, other, key=lambda wish: wish.maxaveragebitrate)
