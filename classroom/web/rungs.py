"""What the rooms of a lesson receive, between the relays that tell it and the pages that show it.

One `Heard` per connected relay gathers its `relay-rooms` into whole reports for the live state; one
`Told` per teacher's page says what of those reports the page has not been told yet. Only changes
travel: a lesson has up to 250 rooms, and the teacher's own link may be the weak one. No sockets.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from classroom.store import RoomsReport
from classroom.wire import Message, RelayRooms, RoomRung, Rooms, VoiceWish, fit_rooms

# A relay holds up to 10,000 viewers; nobody reads a list of more rooms than a country's.
MOST_ROOMS: Final = 2_000
# A relay carries a few lessons at a time; what it says of more is passed over.
_MOST_LESSONS: Final = 100


@dataclass(slots=True)
class Heard:
    """What one relay has told on its present connection."""

    relay: str
    _rooms: dict[str, dict[str, RoomRung]] = field(default_factory=dict)
    _wishes: dict[str, VoiceWish] = field(default_factory=dict)

    def receive(self, message: RelayRooms | VoiceWish) -> RoomsReport:
        """Take the message; gives all that this relay has said of the lesson."""
        lesson = message.lesson
        if lesson not in self._rooms and len(self._rooms) >= _MOST_LESSONS:
            oldest = next(iter(self._rooms))
            del self._rooms[oldest]
            self._wishes.pop(oldest, None)
        rooms = self._rooms.setdefault(lesson, {})
        if isinstance(message, VoiceWish):
            self._wishes[lesson] = message
        else:
            if message.reset:
                rooms.clear()
            for key in message.gone:
                rooms.pop(key, None)
            for room in message.rooms:
                if room.room in rooms or len(rooms) < MOST_ROOMS:
                    rooms[room.room] = room
        return RoomsReport(lesson, self.relay, tuple(rooms.values()), self._wishes.get(lesson))


@dataclass(slots=True)
class Told:
    """What one page has been told so far."""

    _rooms: dict[str, dict[str, RoomRung]] = field(default_factory=dict)
    _wishes: dict[str, VoiceWish] = field(default_factory=dict)

    def lessons(self) -> list[str]:
        """Those that the page was told anything about."""
        return list(self._rooms)

    def changes(self, lesson: str, reports: Iterable[RoomsReport]) -> list[Message]:
        """What the page must hear so that it knows `reports`, all there are of this lesson."""
        now: dict[str, RoomRung] = {}
        wish: VoiceWish | None = None
        for report in reports:
            for room in report.rooms:
                known = now.get(room.room)
                # A room that moved to another relay is on both for a while.
                if known is None or known.since <= room.since:
                    now[room.room] = room
            wish = _poorest(wish, report.wish)
        before = self._rooms.get(lesson)
        messages: list[Message] = []
        if before is None and not now and wish is None:
            return messages
        new = [room for key, room in now.items() if before is None or before.get(key) != room]
        gone = [key for key in before or () if key not in now]
        if before is None or new or gone:
            for number, (some, left) in enumerate(fit_rooms(new, gone)):
                reset = before is None and number == 0
                messages.append(Rooms(lesson, reset, some, left))
        if wish is not None and wish != self._wishes.get(lesson):
            messages.append(wish)
            self._wishes[lesson] = wish
        self._rooms[lesson] = now
        return messages


def _poorest(one: VoiceWish | None, other: VoiceWish | None) -> VoiceWish | None:
    """The wish that asks for less; there is one voice for the rooms of all relays."""
    if one is None or other is None:
        return one or other
    return min(one, other, key=lambda wish: wish.maxaveragebitrate)
