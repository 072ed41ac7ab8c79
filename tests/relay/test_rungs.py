"""What rooms receive: notices of the media process read, kept, forgotten and told on.

Time is in the test's hands; the notices are those of the media process, made by hand.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from classroom.wire import RoomRung, RungName, VoiceWish, encode
from relay.web.rungs import FORGET_SECONDS, RoomState, Rungs, as_message, is_news, told
from relay.web.voice_wish import Wishes, WishOfLesson


def notice(subject: str = "room-1", rung: str = "full", **changes: Any) -> dict[str, Any]:
    return {
        "lesson": "toan-8",
        "session": f"3f {subject}",
        "subject": subject,
        "rung": rung,
        "reason": "link",
        "bitrate": 250_000.0,
        "loss": 0.03,
        "round_trip": 0.6,
        "stills_bitrate": 10_000.0,
        "playout_ms": 1_400,
        **changes,
    }


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def rungs(clock: Clock) -> Rungs:
    return Rungs(clock, clock)


def test_a_room_is_told_since_when_and_why(rungs: Rungs, clock: Clock) -> None:
    rungs.name("room-1", "Lớp 9A")
    rungs.receive(notice())
    clock.now += 5.0
    rungs.receive(notice(bitrate=240_000.0))
    clock.now += 5.0
    rungs.receive(notice(rung="stills"))
    state = rungs.of("toan-8", "room-1")
    assert state is not None
    assert encode(as_message(state))
    assert (state.rung, state.reason, state.since) == (RungName.STILLS, "link", 1_010.0)
    assert rungs.rooms("toan-8") == {
        "3f room-1": RoomRung("3f room-1", "Lớp 9A", RungName.STILLS, "link", 1_010.0)
    }
    assert rungs.changes == {"full": 1, "stills": 1}
    assert rungs.counts()["stills"] == 1
    assert rungs.counts()["full"] == 0


def test_rooms_that_share_a_link_are_told_apart_by_their_sessions(
    rungs: Rungs, clock: Clock
) -> None:
    rungs.receive(notice(session="a", rung="medium"))
    clock.now += 1.0
    rungs.receive(notice(session="b", rung="voice"))
    rooms = rungs.rooms("toan-8")
    assert [rooms[key].rung for key in ("a", "b")] == [RungName.MEDIUM, RungName.VOICE]
    found = [rungs.of("toan-8", "room-1", session) for session in ("a", "b", "c", None)]
    assert [state and state.session for state in found] == ["a", "b", None, "b"]
    assert rungs.of("toan-8", "room-2", "a") is None


def test_a_room_that_nothing_is_said_of_has_left(rungs: Rungs, clock: Clock) -> None:
    rungs.receive(notice("room-1"))
    clock.now += FORGET_SECONDS - 1.0
    rungs.receive(notice("room-2"))
    rungs.expire()
    assert rungs.rooms("toan-8").keys() == {"3f room-1", "3f room-2"}
    clock.now += 2.0
    rungs.expire()
    assert rungs.rooms("toan-8").keys() == {"3f room-2"}
    rungs.lost()
    assert rungs.lessons() == set()


@pytest.mark.parametrize(
    "broken",
    [
        {},
        notice(rung="huge"),
        notice(lesson="../etc"),
        notice(bitrate="much"),
        notice(loss=None),
        notice() | {"bitrate": []},
    ],
)
def test_a_notice_that_cannot_be_read_ends_nothing(rungs: Rungs, broken: dict[str, Any]) -> None:
    rungs.receive(broken)
    assert rungs.states() == []
    rungs.receive(notice())
    assert len(rungs.states()) == 1


def test_numbers_out_of_range_are_brought_into_it(rungs: Rungs) -> None:
    rungs.receive(notice(bitrate=1e12, loss=-0.1, round_trip=None, stills_bitrate=None))
    assert (state := rungs.of("toan-8", "room-1")) is not None
    assert encode(as_message(state))
    assert (state.bitrate, state.loss, state.stills_bitrate) == (1e10, 0.0, 0.0)


def test_what_the_media_process_says_of_the_wait_stands(rungs: Rungs) -> None:
    rungs.receive(notice(playout_ms=730))
    assert (state := rungs.of("toan-8", "room-1")) is not None
    assert state.playout_ms == 730


def test_a_weak_link_is_not_filled_with_words_about_it(rungs: Rungs) -> None:
    rungs.receive(notice())
    first = rungs.of("toan-8", "room-1")
    assert first is not None
    assert is_news(None, first)
    assert not is_news(first, replace(first, bitrate=100.0, loss=0.04))
    assert not is_news(first, replace(first, playout_ms=first.playout_ms - 100))
    for news in (
        replace(first, rung=RungName.SMALL),
        replace(first, reason="loss"),
        replace(first, lesson="van-8"),
        replace(first, playout_ms=first.playout_ms + 50),
        replace(first, playout_ms=0),
    ):
        assert is_news(first, news)


def test_the_control_plane_hears_all_once_and_then_changes(rungs: Rungs) -> None:
    for number in range(250):
        rungs.receive(notice(f"room-{number}"))
    before = rungs.rooms("toan-8")
    messages = list(told("toan-8", None, before))
    assert [message.reset for message in messages] == [True, *[False] * (len(messages) - 1)]
    assert sum(len(message.rooms) for message in messages) == 250
    assert list(told("toan-8", before, rungs.rooms("toan-8"))) == []
    rungs.receive(notice("room-7", rung="voice"))
    (change,) = told("toan-8", before, rungs.rooms("toan-8"))
    assert [room.room for room in change.rooms] == ["3f room-7"]
    (gone,) = told("toan-8", before, {})
    assert len(gone.gone) == 250


def state(number: int, **changes: Any) -> RoomState:
    rungs = Rungs(Clock(), Clock())
    rungs.receive(notice(f"room-{number}", **changes))
    return rungs.states()[0]


THRIFTY = VoiceWish("toan-8", 24_000, 60, True)
USUAL = VoiceWish("toan-8", 32_000, 20, False)


def test_a_thrifty_voice_is_wished_while_many_rooms_are_poor() -> None:
    rich = [state(number, bitrate=800_000.0) for number in range(4)]
    poor = [state(number, rung="stills", bitrate=64_000.0) for number in range(10, 14)]
    lesson = WishOfLesson("toan-8")
    wishes = []
    # (rooms, until which second): it is wished after ten seconds, kept through most of a minute in
    # which the rooms do better, and given up after it.
    for rooms, start, end in (
        ([*rich, poor[0]], 0, 30),
        (rich + poor, 30, 39),
        (rich + poor, 39, 42),
        (rich, 42, 100),
        (rich, 100, 110),
    ):
        for second in range(start, end):
            lesson.update(rooms, second)
        wishes.append(lesson.wish)
    assert wishes == [USUAL, USUAL, THRIFTY, THRIFTY, USUAL]


def test_one_or_two_poor_rooms_or_rooms_that_just_came_change_nobodys_voice() -> None:
    few, new = WishOfLesson("toan-8"), WishOfLesson("toan-8")
    for second in range(60):
        few.update([state(1, rung="voice"), state(2, bitrate=60_000.0)], second)
        starting = [state(number, bitrate=60_000.0, reason="starting") for number in range(9)]
        new.update(starting, second)
    assert few.wish == USUAL
    assert new.wish == USUAL


def test_rooms_that_have_all_there_is_are_not_poor() -> None:
    lesson = WishOfLesson("toan-8")
    for second in range(60):
        low = [state(n, rung="voice", bitrate=60_000.0, reason="source") for n in range(9)]
        lesson.update(low, second)
    assert lesson.wish == USUAL


def test_a_thrifty_voice_is_given_up_though_the_rooms_were_away_meanwhile() -> None:
    wishes, rooms = Wishes(), [state(number, rung="voice") for number in range(4)]

    def asked(
        rooms: list[RoomState], start: int, end: int, *, goes_on: bool = True
    ) -> VoiceWish | None:
        by_lesson = {"toan-8": rooms} if rooms else {}
        for second in range(start, end):
            found = wishes.update(by_lesson, lambda _: goes_on, second)
        return found.get("toan-8")

    assert asked(rooms, 0, 10) is None
    assert asked(rooms, 10, 12) == THRIFTY
    # Nobody knows how they fare while they are away; they come back as they were.
    assert asked([], 12, 50) == THRIFTY
    assert asked(rooms, 50, 51) == THRIFTY
    assert asked([], 51, 112) == USUAL
    assert asked(rooms, 112, 123) == THRIFTY
    assert asked([], 123, 124, goes_on=False) is None


def test_the_usual_voice_is_asked_for_once_since_another_may_have_been_asked_for_before() -> None:
    lesson, rich = WishOfLesson("toan-8"), [state(number) for number in range(4)]
    lesson.update(rich, 0.0)
    assert lesson.wish is None
    for second in range(1, 11):
        lesson.update(rich, second)
    assert lesson.wish == USUAL
