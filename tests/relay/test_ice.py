"""ICE-lite for many sessions: who is answered, where media goes, what a restart keeps alive.

The checks are made by aioice, an implementation that is not ours. Time is told.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from aioice import stun as peer_stun
from hypothesis import given
from hypothesis import strategies as st

from relay.transport.ice import (
    CONSENT_SECONDS,
    MAX_ADDRESSES,
    MAX_STREAMS,
    MAX_STUN_BYTES,
    SILENT_BEFORE_STREAM_SECONDS,
    SILENT_SECONDS,
    STREAM_MARK,
    Check,
    Credentials,
    IceSession,
    IceTable,
)
from tests.relay.fuzzing import FUZZ

REMOTE = Credentials("peer", "p" * 24)


def address(port: int, host: int = 7) -> bytes:
    return (2).to_bytes(2, "little") + port.to_bytes(2, "big") + bytes([192, 0, 2, host]) + bytes(8)


HOME, AWAY = address(1000), address(2000)


@dataclass
class Rig:
    """One session in a table, and a peer that knows its credentials."""

    table: IceTable = field(default_factory=IceTable)
    session: IceSession = field(default_factory=lambda: IceSession(Credentials.generate(), REMOTE))

    def __post_init__(self) -> None:
        self.table.add(self.session)

    def check(
        self,
        now: float,
        source: bytes = HOME,
        *,
        nominate: bool = False,
        local: Credentials | None = None,
        remote: Credentials = REMOTE,
        username: str | None = None,
        password: str | None = None,
        **attributes: object,
    ) -> Check:
        local = local or self.session.local
        message = peer_stun.Message(peer_stun.Method.BINDING, peer_stun.Class.REQUEST)
        message.attributes["USERNAME"] = username or f"{local.ufrag}:{remote.ufrag}"
        message.attributes["PRIORITY"] = 1
        if nominate:
            message.attributes["USE-CANDIDATE"] = None
        for name, value in attributes.items():
            message.attributes[name.replace("_", "-")] = value
        message.add_message_integrity((password or local.password).encode())
        return self.table.receive(bytes(message), source, now)


def is_silent(check: Check) -> bool:
    return check == Check()


def test_a_check_is_answered_with_the_address_it_came_from() -> None:
    rig = Rig()
    check = rig.check(0.0)
    assert check.response is not None
    response = peer_stun.parse_message(check.response)
    assert response.attributes["XOR-MAPPED-ADDRESS"] == ("192.0.2.7", 1000)
    assert response.check_message_integrity(rig.session.local.password.encode())
    assert (check.session, check.moved, rig.session.selected) == (rig.session, True, HOME)


@pytest.mark.parametrize(
    "change",
    [
        {"username": "nobody:peer"},
        {"username": "peer"},
        {"username": ":"},
        {"username": "x" * 400},
        {"password": "w" * 24},
        {"password": REMOTE.password},
    ],
)
def test_a_stranger_hears_nothing_and_moves_nothing(change: dict[str, object]) -> None:
    rig = Rig()
    rig.check(0.0)
    assert is_silent(rig.check(40.0, AWAY, nominate=True, **change))  # type: ignore[arg-type]  # rows of a table
    assert rig.session.selected == HOME
    assert not rig.session.has_consent(40.0)


def test_a_check_without_integrity_or_too_long_is_not_answered() -> None:
    rig = Rig()
    message = peer_stun.Message(peer_stun.Method.BINDING, peer_stun.Class.REQUEST)
    message.attributes["USERNAME"] = f"{rig.session.local.ufrag}:peer"
    assert is_silent(rig.table.receive(bytes(message), HOME, 0.0))
    assert is_silent(rig.check(0.0, SOFTWARE="x" * MAX_STUN_BYTES))


@pytest.mark.parametrize(
    "kind", [peer_stun.Class.RESPONSE, peer_stun.Class.INDICATION, peer_stun.Class.ERROR]
)
def test_only_requests_are_answered(kind: peer_stun.Class) -> None:
    rig = Rig()
    message = peer_stun.Message(peer_stun.Method.BINDING, kind)
    message.attributes["USERNAME"] = f"{rig.session.local.ufrag}:peer"
    message.add_message_integrity(rig.session.local.password.encode())
    assert is_silent(rig.table.receive(bytes(message), HOME, 0.0))


def test_a_peer_that_would_be_controlled_is_told_to_switch_and_learns_nothing_else() -> None:
    rig = Rig()
    check = rig.check(0.0, ICE_CONTROLLED=9)
    assert check.response is not None
    response = peer_stun.parse_message(check.response)
    assert response.attributes["ERROR-CODE"][0] == 487
    assert check.session is None
    assert rig.session.selected is None


def test_consent_lapses_after_the_last_check_and_comes_back_with_the_next() -> None:
    rig = Rig()
    assert not rig.session.has_consent(0.0)
    rig.check(100.0)
    assert rig.session.has_consent(100.0 + CONSENT_SECONDS)
    assert not rig.session.has_consent(100.1 + CONSENT_SECONDS)
    rig.check(200.0)
    assert rig.session.has_consent(200.0)


def test_another_address_is_chosen_when_nominated_or_when_the_first_is_silent() -> None:
    rig = Rig()
    rig.check(0.0)
    assert not rig.check(0.1, AWAY).moved
    assert rig.session.selected == HOME
    assert rig.check(0.2, AWAY, nominate=True).moved
    assert rig.session.selected == AWAY
    assert not rig.check(0.2 + SILENT_SECONDS, HOME).moved
    assert rig.check(0.3 + SILENT_SECONDS, HOME).moved
    assert rig.session.selected == HOME


def test_a_stream_is_taken_when_nominated_and_else_only_when_the_path_is_long_gone() -> None:
    rig = Rig()
    stream = AWAY + STREAM_MARK
    rig.check(0.0)
    check = rig.check(SILENT_BEFORE_STREAM_SECONDS, stream)
    assert check.response is not None
    # It hears its address as it stands on the socket.
    response = peer_stun.parse_message(check.response)
    assert response.attributes["XOR-MAPPED-ADDRESS"] == ("192.0.2.7", 2000)
    assert rig.session.selected == HOME
    assert rig.check(SILENT_BEFORE_STREAM_SECONDS + 0.1, stream).moved
    assert rig.check(8.0, HOME, nominate=True).moved
    assert rig.check(8.1, stream, nominate=True).moved
    assert rig.session.selected == stream


def test_addresses_are_bounded_and_the_one_in_use_is_never_forgotten() -> None:
    rig = Rig()
    rig.check(0.0)
    forgotten = []
    for number in range(100):
        forgotten.append(rig.check(0.001 * number, address(3000 + number)).forgotten)
        assert len(rig.session.addresses) <= MAX_ADDRESSES
    assert HOME in rig.session.addresses
    gone = [one for one in forgotten if one is not None]
    assert gone == [address(3000 + number) for number in range(100 - MAX_ADDRESSES + 1)]


def test_of_streams_a_session_keeps_two_and_always_the_one_in_use() -> None:
    rig = Rig()
    streams = [address(3000 + number) + STREAM_MARK for number in range(6)]
    rig.check(0.0, streams[0])
    forgotten = []
    for number, stream in enumerate(streams[1:], 1):
        rig.check(0.1 * number, address(2000 + number))
        forgotten.append(rig.check(0.1 * number, stream).forgotten)
    assert forgotten == [None, *streams[1:5]]
    # What is no stream stays, and makes no room for one.
    assert len(rig.session.addresses) == 5 + MAX_STREAMS
    assert rig.session.selected == streams[0]
    assert rig.check(1.0, HOME, nominate=True).forgotten is None
    assert rig.check(1.1, streams[1]).forgotten == streams[0]
    assert rig.table.selected() == {HOME}


NEW = Credentials("next", "n" * 24)


def test_a_restart_keeps_the_old_path_until_the_new_one_is_checked() -> None:
    rig = Rig()
    rig.check(0.0)
    old = rig.session.local
    new = rig.table.restart(rig.session, NEW)
    assert new == rig.session.local != old
    assert rig.check(20.0, local=old).session is rig.session
    assert rig.session.has_consent(20.0 + CONSENT_SECONDS)
    assert rig.check(22.0, AWAY, local=new, remote=NEW, nominate=True).moved
    assert is_silent(rig.check(23.0, local=old))


def test_a_peer_that_begins_anew_tells_nobody_beforehand() -> None:
    rig = Rig()
    rig.check(0.0)
    for number in range(20):
        begun = Credentials(f"try{number}", "t" * 24)
        assert rig.check(700.0 + number, address(3000 + number), remote=begun, nominate=True).moved
    assert rig.session.has_consent(720.0)
    # A check of a former beginning that was still under way is as good.
    assert rig.check(721.0, AWAY, nominate=True).moved


def test_restarts_that_lead_nowhere_never_cost_the_path_that_works() -> None:
    rig = Rig()
    rig.check(0.0)
    old = rig.session.local
    tried = [rig.table.restart(rig.session, Credentials(f"try{n}", "t" * 24)) for n in range(20)]
    assert rig.check(20.0, local=old).session is rig.session
    last = Credentials("try19", "t" * 24)
    assert is_silent(rig.check(21.0, local=tried[3], remote=last))
    assert rig.check(21.0, local=tried[-1], remote=last).session is rig.session


def test_a_removed_session_leaves_no_credentials_behind() -> None:
    rig = Rig()
    rig.check(0.0)
    known = [rig.session.local]
    known += [rig.table.restart(rig.session, REMOTE) for _ in range(5)]
    rig.table.remove(rig.session)
    assert all(is_silent(rig.check(1.0, local=one)) for one in known)


def test_sessions_do_not_answer_for_each_other() -> None:
    one, two = Rig(), Rig()
    one.table.add(two.session)
    mixed = f"{one.session.local.ufrag}:{REMOTE.ufrag}"
    assert is_silent(one.check(0.0, username=mixed, password=two.session.local.password))


@FUZZ
@given(st.binary(max_size=600), st.integers(0, 3))
def test_nothing_in_a_datagram_can_raise(data: bytes, first: int) -> None:
    rig = Rig()
    assert is_silent(rig.table.receive(bytes([first]) + data, HOME, 0.0))
    head = b"\x00\x01" + len(data).to_bytes(2, "big") + b"\x21\x12\xa4\x42" + bytes(12)
    assert is_silent(rig.table.receive(head + data, HOME, 0.0))


def test_an_ipv4_peer_of_a_socket_for_both_families_hears_its_own_address() -> None:
    rig = Rig()
    mapped = bytes(10) + b"\xff\xff" + bytes([192, 0, 2, 7])
    source = (10).to_bytes(2, "little") + (1000).to_bytes(2, "big") + bytes(4) + mapped + bytes(4)
    check = rig.check(0.0, source)
    assert check.response is not None
    response = peer_stun.parse_message(check.response)
    assert response.attributes["XOR-MAPPED-ADDRESS"] == ("192.0.2.7", 1000)
