"""A lesson with many rooms, half of them on poor links, that come, go, lose packets and cry for
pictures; in virtual time.

Lives here: the story and what is counted in it. Must not live here: what is right
(test_many_rooms), how it is printed (tests.bench.rooms).
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from tests.fakes.lesson_viewer import FakeViewer
from tests.fakes.lesson_wire import Lesson, Link
from tests.scenarios.story import camera, voice

POOR_RATE: Final = 220_000.0
POOR_LOSS: Final = 0.05
GOOD_BITRATE: Final = 2e6
_STEP: Final = 1.0
# A room of either kind leaves and another comes, on average once in so many steps.
_STAYS: Final = 20.0


@dataclass(slots=True)
class Outcome:
    """requests: keyframes asked of the teacher. missing: packets that good rooms never got.

    longest: seconds between two pictures of a good room, at most. spoken: share of the voice that
    poor rooms got. joined: rooms that came in all.
    """

    requests: int = 0
    missing: int = 0
    longest: float = 0.0
    spoken: float = 1.0
    joined: int = 0


def tell(rooms: int, seconds: float, seed: int = 1) -> Outcome:
    """Half of `rooms` are poor; each kind comes and goes. One room stays where it is."""
    chance = random.Random(seed)
    lesson = Lesson(seed, grain=0.01)
    teacher = lesson.publish(camera("vp9"), voice())
    lesson.advance(2.0)
    outcome = Outcome()
    here: dict[str, bool] = {}
    last: dict[str, float] = {}
    heard = lost = 0

    def come(poor: bool) -> None:
        outcome.joined += 1
        name = f"room-{outcome.joined}"
        here[name] = poor
        if poor:
            down = Link(rate=POOR_RATE, loss=POOR_LOSS, delay=0.15)
            lesson.open_room(name, down=down, up=Link(loss=0.02, delay=0.15), bitrate=60_000.0)
        else:
            lesson.open_room(name, bitrate=GOOD_BITRATE)

    def look(name: str, room: FakeViewer, keep: int) -> None:
        nonlocal heard, lost
        if here[name]:
            audit = room.audit("voice", keep_last=keep)
            heard, lost = heard + audit.packets, lost + len(audit.missing)
            audit.packets = 0
            audit.missing.clear()
            room.audit("camera", keep_last=keep).shown.clear()
            return
        audit = room.audit("camera", keep_last=keep)
        outcome.missing += len(audit.missing) + len(room.audit("voice", keep_last=keep).missing)
        times = [one.tag.captured for one in audit.shown]
        if name in last:
            times.insert(0, last[name])
        # What it begins with is from the cache, squeezed into a moment.
        live = [when for when in times if when > lesson.now - 4.0] if name not in last else times
        gaps = [b - a for a, b in pairwise(live)]
        outcome.longest = max([outcome.longest, *gaps])
        if times:
            last[name] = times[-1]
        audit.shown.clear()

    for number in range(rooms):
        come(number % 2 == 1)
    end = lesson.now + seconds
    while lesson.now < end:
        lesson.advance(_STEP)
        for name, poor in list(here.items()):
            room = lesson.rooms[name]
            look(name, room, 100)
            if poor and chance.random() < 0.1:
                room.ask_picture("camera")
            if name != "room-1" and chance.random() < _STEP / _STAYS:
                look(name, room, 0)
                lesson.close_room(name)
                del here[name]
                come(poor)
    outcome.requests = len(teacher.requests)
    outcome.spoken = heard / (heard + lost) if heard else 1.0
    return outcome
