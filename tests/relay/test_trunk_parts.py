"""The pure parts of a trunk: what is sent of a lesson, what is wanted, what waits to be named."""

from __future__ import annotations

import pytest

from classroom.errors import Refused
from relay.sfu.strangers import KEEP_BYTES, KEEP_SECONDS, Strangers
from relay.sfu.trunk_selection import share
from relay.sfu.wants import Wants
from relay.transport import offer, sdp
from relay.transport.ice import Credentials
from relay.transport.trunk_sdp import read_answer, write_offer

CAMERA = [(0, 60_000.0), (1, 250_000.0), (2, 900_000.0)]
SCREEN = [(0, 120_000.0)]
BOTH = {"camera": CAMERA, "screen": SCREEN}
TOP = {"camera": (2,), "screen": (0,)}


@pytest.mark.parametrize(
    ("budget", "chosen"),
    [
        (40_000.0, []),
        (70_000.0, [("camera", 0)]),
        (140_000.0, [("screen", 0)]),
        (200_000.0, [("screen", 0), ("camera", 0)]),
        (400_000.0, [("screen", 0), ("camera", 1)]),
        (1_200_000.0, [("screen", 0), ("camera", 2)]),
    ],
)
def test_one_layer_of_each_source_is_sent_the_best_that_fits(
    budget: float, chosen: list[tuple[str, int]]
) -> None:
    assert share(BOTH, TOP, budget) == chosen


def test_poorer_rooms_have_theirs_beside_it_where_there_is_room() -> None:
    wants = {"camera": (2, 0)}
    assert share({"camera": CAMERA}, wants, 1_100_000.0) == [("camera", 2), ("camera", 0)]
    assert share({"camera": CAMERA}, wants, 940_000.0) == [("camera", 2)]
    assert share({"camera": CAMERA}, {"camera": (0,)}, 5_000_000.0) == [("camera", 0)]
    assert share({"camera": CAMERA}, {"camera": ()}, 5_000_000.0) == []


def test_what_flows_stays_where_it_would_not_be_chosen_anew() -> None:
    flowing = [("camera", 1)]
    assert share({"camera": CAMERA}, {"camera": (2,)}, 240_000.0) == [("camera", 0)]
    assert share({"camera": CAMERA}, {"camera": (2,)}, 240_000.0, flowing) == flowing
    assert share({"camera": CAMERA}, {"camera": (2,)}, 200_000.0, flowing) == [("camera", 0)]


def test_wants_are_read_against_what_there_is() -> None:
    assert Wants().of("camera", [0, 1, 2]) == (2,)
    assert Wants({"camera": (5, 0)}).of("camera", [0, 1, 2]) == (2, 0)
    assert Wants({"camera": ()}).of("camera", [0, 1]) == ()
    assert Wants({"camera": (1,)}).of("camera", []) == ()


def test_packets_wait_to_be_named_and_come_in_their_order() -> None:
    strangers = Strangers()
    for number in range(4):
        strangers.put(number % 2, bytes((number,)), 10.0 + number)
    assert strangers.claim({1}, 14.0) == [(b"\x01", 11.0), (b"\x03", 13.0)]
    assert strangers.claim({1}, 14.0) == []
    assert len(strangers) == 2


def test_what_nobody_names_goes_and_is_counted() -> None:
    strangers = Strangers()
    strangers.put(1, b"x", 0.0)
    assert strangers.claim({1}, KEEP_SECONDS + 0.1) == []
    assert strangers.dropped == 1
    size = 1_200
    for number in range(2 * KEEP_BYTES // size):
        strangers.put(number, bytes(size), 1.0)
    assert len(strangers) <= KEEP_BYTES // size
    assert strangers.dropped > KEEP_BYTES // size


def test_our_offer_is_one_that_a_relay_takes_whole() -> None:
    text = write_offer(Credentials.generate(), "00:" * 31 + "00", 1)
    description = sdp.parse(text)
    accepted = offer.accept_viewer(description, "toan-7")
    slots = {one.slot.slot: one.slot for one in accepted if one.slot is not None}
    assert list(slots) == ["voice", "camera", "screen"]
    assert len(slots["camera"].codecs) == 13
    assert all(codec.rtx == codec.payload_type + 1 for codec in slots["camera"].codecs)
    assert slots["voice"].nack
    assert slots["voice"].codecs[0].red == 63
    assert offer.remote_side(description).active


GOOD = "\r\n".join(
    (
        *("v=0", "o=- 1 1 IN IP4 0.0.0.0", "s=-", "t=0 0", "a=ice-lite"),
        *("m=audio 9 UDP/TLS/RTP/SAVPF 111", "a=mid:voice", "a=ice-ufrag:abcd"),
        *("a=ice-pwd:" + 24 * "p", "a=fingerprint:sha-256 " + "00:" * 31 + "00", "a=setup:passive"),
        "a=candidate:1 1 udp 2130706431 192.0.2.1 5000 typ host",
        "a=candidate:2 1 tcp 1010828031 192.0.2.1 5000 typ host tcptype passive",
        "",
    )
)


def test_an_answer_tells_where_the_parent_is() -> None:
    side = read_answer(GOOD)
    assert [(one.host, one.port, one.is_tcp) for one in side.candidates] == [
        ("192.0.2.1", 5000, False),
        ("192.0.2.1", 5000, True),
    ]
    assert not side.remote.active


@pytest.mark.parametrize(
    ("there", "instead"),
    [
        ("a=candidate", "a=nothing"),
        ("192.0.2.1", "relay.example"),
        (" 5000 ", " 0 "),
        ("a=fingerprint:sha-256", "a=fingerprint:md5"),
        ("a=ice-pwd", "a=ice-x"),
        ("a=setup:passive", "a=setup:actpass"),
        ("v=0", "v=1"),
    ],
)
def test_an_answer_that_lacks_something_is_refused(there: str, instead: str) -> None:
    with pytest.raises(Refused):
        read_answer(GOOD.replace(there, instead))
