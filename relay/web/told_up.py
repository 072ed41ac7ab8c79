"""What is told on one line upwards: how lessons fare, what rooms receive, which relays are below.

One `ToldUp` per connection remembers what the other end knows, so that only changes travel. Lives
here: which messages are due. Must not live here: sockets and when to look (`central`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from classroom.signalling import told_below
from classroom.wire import Message, RelayLesson, RelayNode, RoomRung, Source, VoiceWish
from relay.web.below import Below
from relay.web.lessons import KnownLessons
from relay.web.rungs import Rungs, told


def report(lesson: str, lessons: KnownLessons, below: Below) -> RelayLesson:
    """How the lesson fares here, its rooms counted together with those below."""
    status = lessons.status(lesson)
    return RelayLesson(
        lesson,
        status["publishing"],
        tuple(Source(name) for name in status["sources"]),
        status["rooms"] + below.count(lesson),
        lessons.recording_of(lesson),
    )


class ToldUp:
    """Ask `due` every now and then."""

    def __init__(self, rungs: Rungs, below: Below) -> None:
        self._rungs = rungs
        self._below = below
        self._rooms: dict[str, dict[str, RoomRung]] = {}
        self._wishes: dict[str, VoiceWish] = {}
        # None: the other end knows of none, as it does by itself.
        self._nodes: dict[str, RelayNode] | None = None

    def due(self, wishes: Mapping[str, VoiceWish]) -> Iterator[Message]:
        """What changed; it counts as told when it is given. wishes: of each lesson's voice."""
        for lesson in {*self._rungs.lessons(), *self._below.lessons(), *self._rooms}:
            now = {**self._below.rooms(lesson), **self._rungs.rooms(lesson)}
            yield from told(lesson, self._rooms.get(lesson), now)
            self._rooms[lesson] = now
        for lesson, wish in wishes.items():
            if self._wishes.get(lesson) != wish:
                self._wishes[lesson] = wish
                yield wish
        nodes = self._below.nodes()
        if nodes or self._nodes is not None:
            yield from told_below(self._nodes, nodes)
            self._nodes = nodes
        self._rooms = {lesson: rooms for lesson, rooms in self._rooms.items() if rooms}
