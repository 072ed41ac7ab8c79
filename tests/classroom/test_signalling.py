"""A peer's conversation in virtual time: introduction, ping, silence, refusals; both sides."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classroom import wire
from classroom.errors import Absent, Refused
from classroom.signalling import (
    Action,
    Caller,
    Close,
    Opened,
    Received,
    Send,
    Session,
    close_code,
    retry_delay,
)

HELLO = wire.Hello(wire.Page.ROOM, "vi", None)
RELAY = wire.RelayHello("root", "http://relay:8081", "0.1.0", 400)
LESSON = wire.RelayLesson("toan-8", True, (wire.Source.VOICE,), 2, wire.Recording())


def page(now: float = 0.0) -> Session:
    return Session(wire.Hello, now, wall_offset=1000.0)


def opened_page() -> Session:
    session = page()
    give(session, HELLO, 1.0)
    return session


def give(session: Session | Caller, message: wire.Message, now: float) -> list[Action]:
    session.receive_message(wire.encode(message), now)
    return session.take_actions()


def refused_with(actions: list[Action], code: str) -> int:
    """The close code, after checking that `code` was told before."""
    error, close = actions
    assert isinstance(error, Send)
    assert isinstance(error.message, wire.Error)
    assert error.message.code == code
    assert isinstance(close, Close)
    return close.code


def test_a_page_introduces_itself_and_pings() -> None:
    session = page()
    assert give(session, HELLO, 1.0) == [Opened(HELLO)]
    assert give(session, wire.Ping(7.5), 2.0) == [Send(wire.Pong(7.5, 1002.0))]
    session.send(wire.LessonEnd("toan-8"))
    assert session.take_actions() == [Send(wire.LessonEnd("toan-8"))]
    assert session.take_actions() == []


def test_a_relay_introduces_itself_and_reports() -> None:
    session = Session(wire.RelayHello, 0.0, wall_offset=0.0)
    assert give(session, RELAY, 1.0) == [Opened(RELAY)]
    assert give(session, LESSON, 2.0) == [Received(LESSON)]


@pytest.mark.parametrize("message", [wire.Ping(1.5), RELAY, LESSON, wire.LessonEnd("toan-8")])
def test_whoever_does_not_introduce_itself_first_is_closed(message: wire.Message) -> None:
    assert refused_with(give(page(), message, 1.0), "wire-unexpected") == 4400


def test_a_second_hello_is_answered_but_keeps_the_conversation() -> None:
    session = opened_page()
    (answer,) = give(session, HELLO, 2.0)
    assert isinstance(answer, Send)
    assert isinstance(answer.message, wire.Error)
    assert not session.closed


def test_a_page_cannot_report_as_a_relay() -> None:
    session = opened_page()
    (answer,) = give(session, LESSON, 2.0)
    assert isinstance(answer, Send)


def test_who_keeps_sending_nonsense_is_closed() -> None:
    session = opened_page()
    for _ in range(19):
        assert len(give(session, HELLO, 2.0)) == 1
    assert refused_with(give(session, HELLO, 2.0), "wire-unexpected") == 4400


def test_bytes_that_are_no_message_close_at_once() -> None:
    session = opened_page()
    session.receive_message(b"\xc1", 2.0)
    assert refused_with(session.take_actions(), "wire-malformed") == 4400


def test_a_text_frame_closes() -> None:
    session = opened_page()
    session.receive_text()
    assert refused_with(session.take_actions(), "wire-malformed") == 4400


def test_an_unknown_kind_is_told_and_the_conversation_goes_on() -> None:
    session = opened_page()
    session.receive_message(b"\x93\x01\xa5hurra\x80", 2.0)
    (answer,) = session.take_actions()
    assert isinstance(answer, Send)
    assert not session.closed


def test_silence_closes_after_30_s_and_any_message_puts_it_off() -> None:
    session = opened_page()
    assert session.get_timer() == 31.0
    give(session, wire.Ping(0.5), 20.0)
    assert session.get_timer() == 50.0
    session.handle_timer(49.9)
    assert session.take_actions() == []
    session.handle_timer(50.0)
    assert refused_with(session.take_actions(), "peer-silent") == 4408
    assert session.get_timer() is None


def test_a_conversation_ends_with_its_token() -> None:
    session = opened_page()
    # The date 1020 is 20 s on the session's clock: before silence would end it.
    session.expire_at(1020.0)
    assert session.get_timer() == 20.0
    session.handle_timer(19.9)
    assert session.take_actions() == []
    session.handle_timer(20.0)
    assert refused_with(session.take_actions(), "token-expired") == 4401
    assert session.get_timer() is None


def test_who_never_says_hello_is_closed_after_10_s() -> None:
    session = page(5.0)
    assert session.get_timer() == 15.0
    session.handle_timer(15.0)
    assert refused_with(session.take_actions(), "peer-silent") == 4408


def test_nothing_follows_a_close() -> None:
    session = opened_page()
    session.close()
    session.send(wire.LessonEnd("toan-8"))
    session.refuse(Absent("x", fix="y"))
    assert give(session, wire.Ping(0.5), 3.0) == [Close(1001, "server stops")]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Refused(401, "token-expired", "d", fix="f"), 4401),
        (Refused(403, "wrong-lesson", "d", fix="f"), 4403),
        (Refused(404, "lesson-unknown", "d", fix="f"), 4404),
        (Refused(502, "keys-malformed", "d", fix="f"), 1011),
        (Absent("d", fix="f"), 1011),
    ],
)
def test_a_refusal_closes_with_the_code_of_its_status(error: Refused | Absent, code: int) -> None:
    session = page()
    session.refuse(error)
    told = error.code if isinstance(error, Refused) else "absent"
    assert refused_with(session.take_actions(), told) == code
    assert close_code(409) == 4409


@given(st.lists(st.binary(max_size=40), max_size=30))
def test_no_bytes_break_a_session_or_a_caller(frames: list[bytes]) -> None:
    session, caller = opened_page(), Caller(RELAY, 0.0)
    for frame in frames:
        session.receive_message(frame, 2.0)
        caller.receive_message(frame, 2.0)
    session.take_actions()
    caller.take_actions()


def test_a_caller_introduces_itself_pings_and_learns_the_servers_clock() -> None:
    caller = Caller(RELAY, 100.0)
    assert caller.take_actions() == [Send(RELAY)]
    assert caller.get_timer() == 110.0
    caller.handle_timer(110.0)
    assert caller.take_actions() == [Send(wire.Ping(110.0))]
    assert give(caller, wire.Pong(110.0, 5000.0), 112.0) == []
    assert caller.wall_offset == 5000.0 - 111.0
    assert give(caller, wire.LessonEnd("toan-8"), 113.0) == [Received(wire.LessonEnd("toan-8"))]


def test_a_caller_gives_up_a_silent_server() -> None:
    caller = Caller(RELAY, 0.0)
    caller.take_actions()
    for now in (10.0, 20.0):
        caller.handle_timer(now)
    assert len(caller.take_actions()) == 2
    caller.handle_timer(30.0)
    assert caller.take_actions() == [Close(4408, "server silent")]
    assert caller.get_timer() is None
    caller.send(LESSON)
    assert caller.take_actions() == []


def test_a_caller_hears_its_own_session_out() -> None:
    """Both sides on one wire, an hour long, without a ping lost."""
    caller, session = Caller(RELAY, 0.0), Session(wire.RelayHello, 0.0, wall_offset=0.0)
    now = 0.0
    while now < 3600.0:
        for action in caller.take_actions():
            assert isinstance(action, Send)
            session.receive_message(wire.encode(action.message), now)
        for action in session.take_actions():
            if isinstance(action, Send):
                caller.receive_message(wire.encode(action.message), now)
        timer = caller.get_timer()
        assert timer is not None
        now = timer
        caller.handle_timer(now)
        session.handle_timer(now)
    assert not session.closed


def test_retries_grow_to_half_a_minute_and_are_spread() -> None:
    assert [retry_delay(attempt, 1.0) for attempt in range(7)] == [1, 2, 4, 8, 16, 30, 30]
    assert retry_delay(3, 0.0) == 4.0
    assert retry_delay(10**6, 1.0) == 30.0
