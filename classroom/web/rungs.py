"""What the rooms of a lesson receive, between the relays that tell it and the pages that show it.

One `Heard` per connected relay gathers its `relay-rooms` into whole reports for the live state; one
`Told` per teacher's page says what of those reports the page has not been told yet. Only changes
travel: a lesson has up to 250 rooms, and the teacher's own link may be the weak one. No sockets.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from classroom.signalling import HeardRooms, poorest
from classroom.store import RoomsReport
from classroom.wire import Message, RelayRooms, RoomRung, Rooms, VoiceWish, fit_rooms


@dataclass(slots=True)
class Heard:
    """What one relay has told on its present connection."""

    relay: str
    _heard: HeardRooms = field(default_factory=HeardRooms)

    def receive(self, message: RelayRooms | VoiceWish) -> RoomsReport:
        """Take the message; gives all that this relay has said of the lesson."""
        self._heard.receive(message)
        lesson = message.lesson
        rooms = tuple(self._heard.rooms(lesson).values())
        return RoomsReport(lesson, self.relay, rooms, self._heard.wish(lesson))


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
            wish = poorest(wish, report.wish)
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
