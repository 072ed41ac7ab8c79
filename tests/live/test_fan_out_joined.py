"""A voice that leaves together with a picture ends the picture's train. Real sockets and SRTP."""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import count
from typing import Final

import pytest
from pylibsrtp import Policy, Session

from relay.media.codec import Codec
from relay.sfu.leg import Leg
from relay.sfu.members import Members
from relay.sfu.negotiated import SlotCodec, SlotSpec
from relay.sfu.packet import Outgoing
from relay.transport.fanout import NativeFanOut
from relay.transport.send_log import SendLogs
from relay.transport.wire import Wire

TAG: Final = 16
KEY: Final = bytes(range(28))  # AES-128 key and salt (RFC 7714 §12)
CAMERA, VOICE = 7, 9
# One-byte extension 1 with the transport-wide number, in its block (RFC 8285 §4.2).
BLOCK: Final = b"\xbe\xde\x00\x01\x11\x00\x00\x00"
TWCC_AT: Final = 12 + 4 + 1


def session(ssrc_type: int) -> Session:
    profile = Policy.SRTP_PROFILE_AEAD_AES_128_GCM
    policy = Policy(key=KEY, ssrc_type=ssrc_type, srtp_profile=profile)
    policy.allow_repeat_tx = True
    return Session(policy)


class Room:
    """A viewer's socket, its wire, and a leg for each kind. shift: added to all its numbers."""

    def __init__(self, logs: SendLogs, shift: int) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.shift = shift
        self.wire = Wire(session(Policy.SSRC_ANY_OUTBOUND), session(Policy.SSRC_ANY_INBOUND), TAG)
        family = int(socket.AF_INET).to_bytes(2, sys.byteorder)
        port = int(self.socket.getsockname()[1]).to_bytes(2, "big")
        self.wire.set_address(family + port + socket.inet_aton("127.0.0.1") + bytes(8))
        self.wire.begin_log(logs)
        self.camera = self._leg(SlotSpec("camera", "1", "video", CAMERA, 8, ()))
        opus = SlotCodec(109, Codec("opus", "audio", 48_000, 2))
        self.voice = self._leg(SlotSpec("voice", "0", "audio", VOICE, 10, (opus,)))
        self._inbound = session(Policy.SSRC_ANY_INBOUND)

    def _leg(self, spec: SlotSpec) -> Leg[Wire]:
        return Leg(self.wire, spec, sequence_offset=self.shift, timestamp_offset=10 * self.shift)

    def heard(self) -> list[tuple[int, int, int, int, int]]:
        """What waits: (SSRC, sequence, timestamp, transport-wide number, bytes) of each packet."""
        found: list[tuple[int, int, int, int, int]] = []
        while True:
            try:
                data = self._inbound.unprotect(self.socket.recv(65_536))
            except BlockingIOError:
                return found
            _, _, sequence, timestamp, ssrc = struct.unpack_from("!BBHII", data)
            number = int.from_bytes(data[TWCC_AT : TWCC_AT + 2], "big")
            assert data[20:] == bytes([ssrc]) * (len(data) - 20)
            found.append((ssrc, sequence, timestamp, number, len(data)))


@pytest.fixture
def logs() -> SendLogs:
    return SendLogs(8)


@pytest.fixture
def fan_out(logs: SendLogs) -> Iterator[NativeFanOut]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        yield NativeFanOut(sender.fileno(), logs, map(float, count(1)).__next__)


@pytest.fixture
def rooms(logs: SendLogs) -> Iterator[list[Room]]:
    made = [Room(logs, shift) for shift in (100, 200, 300)]
    yield made
    for room in made:
        room.socket.close()


def run(ssrc: int, first: int, *sizes: int) -> list[Outgoing]:
    packets = []
    for index, size in enumerate(sizes):
        head = struct.pack("!BBHII", 0x90, 96, 0, 0, ssrc) + BLOCK
        data = head.ljust(size, bytes([ssrc]))
        packets.append(Outgoing(data, first + index, 1_000, TWCC_AT))
    return packets


def members(*legs: Leg[Wire]) -> Members:
    made = Members()
    for leg in legs:
        made.add(leg)
    return made


def sent(room: Room, ssrc: int, first: int, number: int, *sizes: int) -> list[tuple[int, ...]]:
    """What a room should hear of a run."""
    return [
        (ssrc, first + index + room.shift, 1_000 + 10 * room.shift, number + index, size)
        for index, size in enumerate(sizes)
    ]


def test_who_receives_both_gets_one_train_and_the_others_theirs(
    fan_out: NativeFanOut, rooms: list[Room]
) -> None:
    both, sees, hears = rooms
    pictures = members(both.camera, sees.camera)
    voices = members(both.voice, hears.voice)
    fan_out.fan_out([(run(VOICE, 5, 90), voices), (run(CAMERA, 40, 600, 600, 600), pictures)], 1.0)
    camera, voice = (600, 600, 600), (90,)
    assert both.heard() == sent(both, CAMERA, 40, 0, *camera) + sent(both, VOICE, 5, 3, *voice)
    assert sees.heard() == sent(sees, CAMERA, 40, 0, *camera)
    assert hears.heard() == sent(hears, VOICE, 5, 0, *voice)
    counters = fan_out.counters
    assert (counters.packets, counters.calls) == (8, 3)
    assert list(both.wire.sent_size[:4]) == [616, 616, 616, 106]
    # Whoever comes or goes changes who gets what.
    voices.add(sees.voice)
    pictures.drop(both.camera)
    fan_out.fan_out([(run(CAMERA, 43, 600), pictures), (run(VOICE, 6, 90), voices)], 1.0)
    assert both.heard() == sent(both, VOICE, 6, 4, 90)
    assert sees.heard() == sent(sees, CAMERA, 43, 3, 600) + sent(sees, VOICE, 6, 4, 90)
    assert hears.heard() == sent(hears, VOICE, 6, 1, 90)
    assert counters.calls == 3 + 2


def test_each_batch_is_remembered_with_the_time_at_which_it_left(
    fan_out: NativeFanOut, rooms: list[Room]
) -> None:
    first, second, _ = rooms
    runs = [
        (run(CAMERA, 1, 600, 600), members(first.camera)),
        (run(CAMERA, 1, 300), members(second.camera)),
    ]
    fan_out.fan_out(runs, 0.0)
    fan_out.send_rtp(second.wire, bytearray(run(CAMERA, 2, 300)[0].data), TWCC_AT, 0.0)
    assert list(first.wire.sent_at[:3]) == [1.0, 1.0, 0.0]
    assert list(second.wire.sent_at[:3]) == [2.0, 3.0, 0.0]


@pytest.mark.parametrize(("watching", "sizes"), [(72, {72}), (73, {36, 37}), (200, {66, 67})])
def test_many_rooms_are_reached_in_batches_of_one_size(
    fan_out: NativeFanOut, watching: int, sizes: set[int]
) -> None:
    """A batch of a few would take nearly as long as a full one, and the last rooms wait for it."""
    logs = fan_out.logs = SendLogs(watching)
    rooms = [Room(logs, shift) for shift in range(watching)]
    pictures = members(*(room.camera for room in rooms))
    voices = members(*(room.voice for room in rooms))
    fan_out.fan_out([(run(CAMERA, 40, 600, 600), pictures)], 1.0)
    left = Counter(room.wire.sent_at[0] for room in rooms)
    assert set(left.values()) == sizes
    assert fan_out.counters.calls == len(left)
    fan_out.fan_out([(run(CAMERA, 42, 600), pictures), (run(VOICE, 5, 90), voices)], 1.0)
    assert fan_out.counters.calls == 2 * len(left)
    for room in rooms:
        assert room.heard() == (
            sent(room, CAMERA, 40, 0, 600, 600)
            + sent(room, CAMERA, 42, 2, 600)
            + sent(room, VOICE, 5, 3, 90)
        )
        room.socket.close()


def test_a_smaller_packet_ends_a_train_of_pictures(
    fan_out: NativeFanOut, rooms: list[Room]
) -> None:
    room = rooms[0]
    pictures, voices = members(room.camera), members(room.voice)
    runs = [
        (run(CAMERA, 1, 600, 600, 250), pictures),
        (run(CAMERA, 4, 600), pictures),
        (run(VOICE, 1, 90), voices),
    ]
    fan_out.fan_out(runs, 1.0)
    assert room.heard() == (
        sent(room, CAMERA, 1, 0, 600, 600, 250)
        + sent(room, CAMERA, 4, 3, 600)
        + sent(room, VOICE, 1, 4, 90)
    )
    assert fan_out.counters.calls == 2


def test_a_voice_larger_than_the_pictures_packets_goes_alone(
    fan_out: NativeFanOut, rooms: list[Room]
) -> None:
    room = rooms[0]
    runs = [
        (run(VOICE, 1, 300), members(room.voice)),
        (run(CAMERA, 1, 200, 200), members(room.camera)),
    ]
    fan_out.fan_out(runs, 1.0)
    assert room.heard() == sent(room, VOICE, 1, 0, 300) + sent(room, CAMERA, 1, 1, 200, 200)
    assert fan_out.counters.calls == 2


def test_voices_of_several_groups_end_the_trains_of_one_picture(
    fan_out: NativeFanOut, rooms: list[Room]
) -> None:
    one, other, third = rooms
    runs = [
        (run(VOICE, 1, 90), members(one.voice)),
        (run(VOICE, 1, 180), members(other.voice, third.voice)),
        (run(CAMERA, 1, 600, 600), members(one.camera, other.camera, third.camera)),
    ]
    fan_out.fan_out(runs, 1.0)
    for room, size in ((one, 90), (other, 180), (third, 180)):
        assert room.heard() == (sent(room, CAMERA, 1, 0, 600, 600) + sent(room, VOICE, 1, 2, size))
    assert fan_out.counters.calls == 2


def test_where_the_kernel_knows_no_trains_every_packet_goes_alone(
    fan_out: NativeFanOut, rooms: list[Room], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.transport.fanout._REFUSALS", 0)
    room = rooms[0]
    runs = [
        (run(VOICE, 1, 90), members(room.voice)),
        (run(CAMERA, 1, 600, 600), members(room.camera)),
    ]
    fan_out.fan_out(runs, 1.0)
    assert room.heard() == sent(room, VOICE, 1, 0, 90) + sent(room, CAMERA, 1, 1, 600, 600)
    assert fan_out.counters.calls == 3


def datagrams(room: Room) -> list[bytes]:
    found: list[bytes] = []
    with contextlib.suppress(BlockingIOError):
        while True:
            found.append(room.socket.recv(65_536))
    return found


def test_what_leaves_again_under_its_number_is_the_same_to_the_last_bit(
    fan_out: NativeFanOut, rooms: list[Room]
) -> None:
    room, other, _ = rooms
    voices = members(room.voice, other.voice)
    for sequence in (5, 6, 7):
        fan_out.fan_out([(run(VOICE, sequence, 90), voices)], 1.0)
    left = datagrams(room)
    again = bytearray(run(VOICE, 6, 90)[0].data)
    struct.pack_into("!HI", again, 2, 6 + room.shift, 1_000 + 10 * room.shift)
    fan_out.send_rtp(room.wire, bytearray(again), TWCC_AT, 2.0, again=True)
    assert datagrams(room) == [left[1]]
    # What feedback says of it from now on may tell of the second time.
    assert list(room.wire.again) == [1]
    # Nothing was numbered for it, so that the next one follows the last.
    assert list(room.wire.sent_size[:4]) == [106, 106, 106, 0]
    # What never left goes out as new; what is forgotten does not at all.
    struct.pack_into("!H", again, 2, 8 + room.shift)
    fan_out.send_rtp(room.wire, bytearray(again), TWCC_AT, 2.0, again=True)
    (new,) = datagrams(room)
    fan_out.send_rtp(room.wire, bytearray(again), TWCC_AT, 2.0, again=True)
    assert datagrams(room) == [new]
    struct.pack_into("!H", again, 2, 6 + room.shift - 1_024 & 0xFFFF)
    fan_out.send_rtp(room.wire, bytearray(again), TWCC_AT, 2.0, again=True)
    assert datagrams(room) == []
    assert fan_out.counters.forgotten == 1
