"""The full side of ICE against the lite one, over a made-up wire: round trips, losses, outages.

Time is told. The other side is `IceTable` as it stands in the port, so both are held to each other.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from aioice import stun as peer_stun

from relay.transport.ice import Credentials, IceSession, IceTable
from relay.transport.ice_client import CONSENT_INTERVAL, IceClient

FIRST, SECOND, STREAM = (bytes((2, 0, 0, port, 192, 0, 2, 7)) + bytes(8) for port in (1, 2, 3))


@dataclass
class Wire:
    """A client, the session that it calls, and a way between them for each of its paths."""

    delay: float = 0.15
    """Seconds in one direction."""
    up: set[bytes] = field(default_factory=lambda: {FIRST, SECOND, STREAM})
    """Ways that carry anything just now."""
    drop: Callable[[int], bool] = lambda number: False
    """Whether the datagram with this number is lost."""
    now: float = 1_000.0
    sent: int = 0

    def __post_init__(self) -> None:
        self.table = IceTable()
        self.session = IceSession(Credentials.generate(), Credentials("peer", "p" * 24))
        self.table.add(self.session)
        self.client = IceClient(self.session.local, self.now)
        self.checks: list[tuple[float, bytes]] = []
        self._events: list[tuple[float, int, Callable[[], None]]] = []

    def _carry(self, way: bytes, deliver: Callable[[], None]) -> None:
        self.sent += 1
        if way in self.up and not self.drop(self.sent):
            heapq.heappush(self._events, (self.now + self.delay, self.sent, deliver))

    def _arrive(self, data: bytes, way: bytes) -> None:
        check = self.table.receive(data, way, self.now)
        if check.response is not None:
            answer = check.response
            self._carry(way, lambda: self._answered(answer, way))

    def _answered(self, data: bytes, way: bytes) -> None:
        self.client.receive(data, way, self.now)

    def advance(self, seconds: float) -> None:
        """Let so much time pass."""
        end = self.now + seconds
        while True:
            timer = self.client.get_timer()
            event = self._events[0][0] if self._events else end + 1
            following = min(event, end + 1 if timer is None else max(timer, self.now))
            if following > end:
                break
            self.now = following
            while self._events and self._events[0][0] <= self.now:
                heapq.heappop(self._events)[2]()
            self.client.handle_timer(self.now)
            for data, way in self.client.take_sends():
                self.checks.append((self.now, way))
                self._carry(way, lambda data=data, way=way: self._arrive(data, way))  # type: ignore[misc]  # bound now
        self.now = end


@pytest.mark.parametrize("delay", [0.0025, 0.15, 0.4])
def test_a_path_is_found_in_one_round_trip_and_measured(delay: float) -> None:
    wire = Wire(delay)
    wire.client.add_path(FIRST, 1, wire.now)
    wire.advance(2 * delay + 0.01)
    assert wire.client.selected == FIRST
    assert wire.session.selected == FIRST
    assert wire.client.rtt == pytest.approx(2 * delay)


def test_checks_are_those_of_another_implementation() -> None:
    wire = Wire()
    wire.client.add_path(FIRST, 1, wire.now)
    wire.client.handle_timer(wire.now)
    ((data, _),) = wire.client.take_sends()
    message = peer_stun.parse_message(data)
    assert message.message_method == peer_stun.Method.BINDING
    assert message.check_message_integrity(wire.session.local.password.encode())
    assert message.attributes["USERNAME"].startswith(f"{wire.session.local.ufrag}:")
    assert "ICE-CONTROLLING" in message.attributes
    assert "USE-CANDIDATE" not in message.attributes


def test_what_is_used_is_nominated_and_checked_steadily() -> None:
    wire = Wire()
    wire.client.add_path(FIRST, 1, wire.now)
    wire.advance(60.0)
    times = [at for at, _ in wire.checks]
    assert 60.0 / CONSENT_INTERVAL * 0.8 < len(times) < 60.0 / CONSENT_INTERVAL * 1.3
    assert wire.client.has_consent(wire.now)
    assert wire.session.has_consent(wire.now)


def test_a_third_lost_breaks_nothing() -> None:
    wire = Wire(0.4, drop=lambda number: number % 3 == 0)
    wire.client.add_path(FIRST, 1, wire.now)
    wire.advance(60.0)
    assert wire.client.selected == FIRST
    assert wire.session.has_consent(wire.now)


@pytest.mark.parametrize("seconds", [8.0, 60.0, 400.0])
def test_after_an_outage_the_same_session_goes_on_within_seconds(seconds: float) -> None:
    wire = Wire()
    wire.client.add_path(FIRST, 1, wire.now)
    wire.advance(10.0)
    before = wire.client.local
    wire.up.clear()
    wire.advance(seconds)
    assert (wire.client.is_broken, wire.client.restarts) == (True, 1)
    assert wire.client.local != before
    wire.up.add(FIRST)
    wire.advance(2.5)
    assert (wire.client.is_broken, wire.client.restarts) == (False, 1)
    assert wire.session.has_consent(wire.now)


def test_another_way_is_taken_where_the_first_one_is_gone() -> None:
    wire = Wire()
    wire.client.add_path(FIRST, 2, wire.now)
    wire.client.add_path(SECOND, 1, wire.now)
    wire.advance(5.0)
    assert wire.client.selected == FIRST
    wire.up = {SECOND}
    wire.advance(12.0)
    assert (wire.client.selected, wire.session.selected) == (SECOND, SECOND)
    wire.up = {FIRST, SECOND}
    wire.advance(40.0)
    assert (wire.client.selected, wire.session.selected) == (FIRST, FIRST)


def test_a_stream_serves_until_datagrams_get_through() -> None:
    wire = Wire(up={STREAM})
    wire.client.add_path(FIRST, 1, wire.now)
    wire.client.add_path(STREAM, 100, wire.now, is_stream=True)
    wire.advance(5.0)
    assert wire.client.selected == STREAM
    wire.up.add(FIRST)
    wire.advance(40.0)
    assert wire.client.selected == FIRST


def test_media_is_a_sign_of_life() -> None:
    wire = Wire()
    wire.client.add_path(FIRST, 1, wire.now)
    wire.advance(1.0)
    wire.up.clear()
    for _ in range(20):
        wire.client.note_media(wire.now)
        wire.advance(1.0)
    assert not wire.client.is_broken
    wire.advance(10.0)
    assert wire.client.is_broken


def test_a_path_that_is_closed_is_left_at_once() -> None:
    wire = Wire()
    wire.client.add_path(FIRST, 2, wire.now)
    wire.client.add_path(SECOND, 1, wire.now)
    wire.advance(5.0)
    wire.client.lose_path(FIRST, wire.now)
    wire.advance(0.5)
    assert wire.client.selected == SECOND


def test_answers_of_others_are_not_believed() -> None:
    wire = Wire()
    wire.client.add_path(FIRST, 1, wire.now)
    wire.client.handle_timer(wire.now)
    ((data, _),) = wire.client.take_sends()
    request = peer_stun.parse_message(data)
    for password, transaction, way in (
        ("x" * 24, request.transaction_id, FIRST),
        (wire.session.local.password, bytes(12), FIRST),
        (wire.session.local.password, request.transaction_id, SECOND),
    ):
        answer = peer_stun.Message(peer_stun.Method.BINDING, peer_stun.Class.RESPONSE, transaction)
        answer.attributes["XOR-MAPPED-ADDRESS"] = ("192.0.2.7", 1)
        answer.add_message_integrity(password.encode())
        assert not wire.client.receive(bytes(answer), way, wire.now)
        assert not wire.client.receive(bytes(answer)[:-3], way, wire.now)
    assert wire.client.selected is None
