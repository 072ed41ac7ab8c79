"""Binding requests and answers, with aioice as the other side of every exchange."""

from __future__ import annotations

import socket

import pytest
from aioice import stun as peer
from hypothesis import given
from hypothesis import strategies as st

from relay.transport import stun
from tests.relay.fuzzing import FUZZ

PASSWORD = b"0123456789abcdefghijklmn"
FINGERPRINT_BYTES = 8
V4 = socket.AF_INET.to_bytes(2, "little") + (50_000).to_bytes(2, "big") + bytes([192, 0, 2, 7])
V4 += bytes(8)
V6 = socket.AF_INET6.to_bytes(2, "little") + (50_001).to_bytes(2, "big") + bytes(4)
V6 += socket.inet_pton(socket.AF_INET6, "2001:db8::7") + bytes(4)


def request(**attributes: object) -> peer.Message:
    message = peer.Message(peer.Method.BINDING, peer.Class.REQUEST)
    message.attributes["USERNAME"] = "abcd:efgh"
    message.attributes["PRIORITY"] = 1
    for name, value in attributes.items():
        message.attributes[name.replace("_", "-")] = value
    return message


def signed(message: peer.Message, password: bytes = PASSWORD) -> bytes:
    message.add_message_integrity(password)
    return bytes(message)


def read(data: bytes) -> stun.Request:
    found = stun.read_request(data)
    assert found is not None
    return found


def test_a_request_of_another_implementation_is_read_and_authentic() -> None:
    found = read(signed(request(USE_CANDIDATE=None, ICE_CONTROLLING=7)))
    assert (found.username, found.nominated, found.controlled) == ("abcd:efgh", True, False)
    assert found.is_authentic(PASSWORD)
    assert not found.is_authentic(PASSWORD[:-1] + b"x")


def test_a_peer_that_says_it_is_controlled_is_seen() -> None:
    assert read(signed(request(ICE_CONTROLLED=7))).controlled


def test_every_bit_up_to_the_integrity_is_covered_by_it() -> None:
    data = signed(request())
    for bit in range((len(data) - FINGERPRINT_BYTES) * 8):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        found = stun.read_request(bytes(changed))
        assert found is None or not found.is_authentic(PASSWORD), bit


def test_a_request_without_integrity_or_username_is_none() -> None:
    bare = request()
    assert stun.read_request(bytes(bare)) is None
    nameless = request()
    del nameless.attributes["USERNAME"]
    assert stun.read_request(signed(nameless)) is None


def test_responses_and_indications_are_none() -> None:
    message = peer.Message(peer.Method.BINDING, peer.Class.RESPONSE)
    message.attributes["USERNAME"] = "abcd:efgh"
    assert stun.read_request(signed(message)) is None


@pytest.mark.parametrize(
    ("address", "readable"), [(V4, ("192.0.2.7", 50_000)), (V6, ("2001:db8::7", 50_001))]
)
def test_the_answer_tells_another_implementation_its_address(
    address: bytes, readable: tuple[str, int]
) -> None:
    message = request()
    answer = peer.parse_message(stun.write_success(read(signed(message)), PASSWORD, address))
    assert answer.message_class == peer.Class.RESPONSE
    assert answer.transaction_id == message.transaction_id
    assert answer.check_message_integrity(PASSWORD)
    assert answer.attributes["XOR-MAPPED-ADDRESS"] == readable
    assert "FINGERPRINT" in answer.attributes


def test_a_role_conflict_is_understood_by_another_implementation() -> None:
    answer = peer.parse_message(stun.write_role_conflict(read(signed(request())), PASSWORD))
    assert answer.message_class == peer.Class.ERROR
    assert answer.error_code == 487
    assert answer.check_message_integrity(PASSWORD)


@FUZZ
@given(st.binary(max_size=200))
def test_any_bytes_are_none(data: bytes) -> None:
    assert stun.read_request(data) is None


@FUZZ
@given(st.binary(max_size=120))
def test_any_attributes_behind_a_right_head_do_no_harm(body: bytes) -> None:
    body += bytes(-len(body) % 4)
    head = stun.BINDING_REQUEST.to_bytes(2, "big") + len(body).to_bytes(2, "big")
    found = stun.read_request(head + stun.MAGIC_COOKIE.to_bytes(4, "big") + bytes(12) + body)
    assert found is None or not found.is_authentic(PASSWORD)
