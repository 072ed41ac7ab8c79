"""Which relay carries a lesson: the one that already does, else the least busy one alive.

The interface is made for several relays; with one root relay the choice is that relay. Here is
no liveness: the caller passes only relays that are alive. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from classroom.errors import Absent
from classroom.lessons.lesson import Lesson


@dataclass(frozen=True, slots=True)
class RelayChoice:
    """A relay alive now: its name, public address, lessons live on it, viewers it can take."""

    name: str
    url: str
    lessons: int
    viewers_max: int


def place(lesson: Lesson, relays: Sequence[RelayChoice]) -> RelayChoice:
    """The relay for `lesson`; raises Absent with what to do if there is none.

    A lesson that was live stays where its recording is, so it waits for that very relay.
    """
    if lesson.relay is not None:
        for relay in relays:
            if relay.name == lesson.relay:
                return relay
        raise Absent(
            f"The relay {lesson.relay!r}, which carries and records this lesson, is not connected.",
            fix="Wait until it is back; if it stays away, ask your technician to restart it.",
        )
    if not relays:
        raise Absent(
            "No relay is connected, so there is nothing to carry the lesson.",
            fix="Ask your technician to start classroom-relay, then press the button again.",
        )
    # The share of its viewers that a lesson takes is what counts; a relay that names no limit
    # counts as a small one.
    return min(relays, key=lambda relay: (relay.lessons / max(relay.viewers_max, 1), relay.name))
