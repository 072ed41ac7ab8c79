"""What the service is told of rooms: changes at once, everything again now and then.

Here: which notices are due. Not here: what the service makes of them (test_rungs).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

from relay.sfu import rungs
from relay.sfu.rungs import Rung, first_rung
from relay.transport.peer import Peer
from relay.transport.rung_notices import AGAIN_SECONDS, RungNotices


@dataclass
class Viewing:
    running: bool
    rung: Rung | None


@dataclass
class Room:
    """As much of a peer as notices ask for."""

    viewer: Viewing | None = None
    expects: Rung | None = None
    identity: str = "session-1"
    lesson: str = "toan-8"
    subject: str = "room-1"


def told(notices: RungNotices, room: Room, now: float) -> list[tuple[str, str, int]]:
    found = notices.due([cast("Peer", room)], now)
    return [(one["rung"], one["reason"], round(one["stills_bitrate"])) for one in found]


def test_a_change_is_told_once_and_all_of_it_again_after_a_while() -> None:
    notices = RungNotices()
    small = Rung(rungs.SMALL, rungs.LINK, 90_000.0)
    room = Room(Viewing(True, small))
    assert told(notices, room, 10.0) == [("small", "link", 0)]
    # The same, though looked at anew each second.
    for step in range(1, 40):
        assert room.viewer is not None
        room.viewer.rung = replace(small, bitrate=90_000.0 + step) if step % 10 == 0 else small
        assert told(notices, room, 10.0 + 0.1 * step) == []
    assert told(notices, room, 10.0 + AGAIN_SECONDS) == [("small", "link", 0)]
    room.viewer = Viewing(True, Rung(rungs.VOICE_ONLY, rungs.QUEUE))
    assert told(notices, room, 10.1 + AGAIN_SECONDS) == [("voice", "queue", 0)]


def test_a_room_that_connects_is_to_see_a_still_picture() -> None:
    notices = RungNotices()
    room = Room(expects=first_rung(60_000.0))
    assert told(notices, room, 1.0) == [("stills", "starting", 24_000)]
    assert told(notices, room, 1.1) == []
    room.viewer = Viewing(True, None)
    assert told(notices, room, 1.2) == []
    room.viewer.rung = Rung(rungs.SMALL, rungs.STARTING)
    assert told(notices, room, 1.3) == [("small", "starting", 0)]
    # While its consent lapsed nothing is sent, so nothing is said.
    room.viewer.running = False
    assert told(notices, room, 1.3 + AGAIN_SECONDS) == []


def test_a_link_that_carries_a_voice_at_most_is_sent_no_stills_at_first() -> None:
    assert first_rung(30_000.0).stills_bitrate == 0.0


def test_nothing_is_said_of_who_expects_nothing() -> None:
    assert told(RungNotices(), Room(), 1.0) == []
