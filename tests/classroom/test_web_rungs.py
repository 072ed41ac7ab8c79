"""What rooms receive, on its way from relays to teachers' pages: only changes, in small messages.

No sockets and no store here; `tests/live/test_central_sockets.py` has the whole way.
"""

from __future__ import annotations

from classroom.signalling.heard import MOST_ROOMS
from classroom.store import RoomsReport
from classroom.web.rungs import Heard, Told
from classroom.wire import RelayRooms, RoomRung, Rooms, RungName, VoiceWish, encode

WISH = VoiceWish("toan-8", 24_000, 60, True)


def room(number: int, rung: RungName = RungName.FULL, since: float = 1e9) -> RoomRung:
    return RoomRung(f"room-{number}", f"Lớp {number}", rung, "link", since)


def rooms(*numbers: int) -> tuple[RoomRung, ...]:
    return tuple(room(number) for number in numbers)


def test_a_relays_changes_add_up() -> None:
    heard = Heard("root")
    heard.receive(RelayRooms("toan-8", True, rooms(1, 2, 3), ()))
    weak = room(2, RungName.STILLS)
    report = heard.receive(RelayRooms("toan-8", False, (weak,), ("room-1", "room-9")))
    assert report == RoomsReport("toan-8", "root", (weak, room(3)), None)
    assert heard.receive(WISH) == RoomsReport("toan-8", "root", (weak, room(3)), WISH)
    assert heard.receive(RelayRooms("van-8", True, rooms(7), ())).rooms == rooms(7)
    assert heard.receive(RelayRooms("toan-8", True, rooms(4), ())).rooms == rooms(4)


def test_a_relay_that_names_rooms_without_end_is_heard_to_a_bound() -> None:
    heard = Heard("root")
    for start in range(0, MOST_ROOMS + 500, 250):
        report = heard.receive(RelayRooms("toan-8", False, rooms(*range(start, start + 250)), ()))
    assert len(report.rooms) == MOST_ROOMS
    for number in range(300):
        heard.receive(RelayRooms(f"lesson-{number}", True, rooms(1), ()))
    assert heard.receive(RelayRooms("toan-8", False, (), ())).rooms == ()


def test_a_page_hears_all_once_and_then_only_changes() -> None:
    told = Told()
    assert told.changes("toan-8", []) == []
    reports = [RoomsReport("toan-8", "root", rooms(1, 2), WISH)]
    assert told.changes("toan-8", reports) == [Rooms("toan-8", True, rooms(1, 2), ()), WISH]
    assert told.changes("toan-8", reports) == []
    weak = room(2, RungName.VOICE)
    reports = [RoomsReport("toan-8", "root", (weak, room(3)), WISH)]
    assert told.changes("toan-8", reports) == [Rooms("toan-8", False, (weak, room(3)), ("room-1",))]
    assert told.changes("toan-8", []) == [Rooms("toan-8", False, (), ("room-2", "room-3"))]


def test_a_province_of_rooms_comes_in_messages_that_a_weak_link_carries() -> None:
    everyone = rooms(*range(250))
    messages = Told().changes("toan-8", [RoomsReport("toan-8", "root", everyone, None)])
    assert 1 <= len(messages) <= 2
    assert all(len(encode(message)) < 17_000 for message in messages)
    assert [message.reset for message in messages if isinstance(message, Rooms)][1:] in (
        [],
        [False],
    )


def test_a_room_on_two_relays_is_where_it_went_last_and_the_lowest_wish_stands() -> None:
    moved = room(1, RungName.SMALL, since=2e9)
    richer = VoiceWish("toan-8", 48_000, 20, False)
    reports = [
        RoomsReport("toan-8", "root", (moved,), WISH),
        RoomsReport("toan-8", "tra-leng", rooms(1), richer),
    ]
    assert Told().changes("toan-8", reports) == [Rooms("toan-8", True, (moved,), ()), WISH]
