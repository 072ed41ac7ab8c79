"""Lives of sessions in the media process: never connected, silent for long, too many, restarted.

A real port on loopback, a clock that the test moves; offers are those of real browsers.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from pylibsrtp import Policy, Session

from classroom.errors import Refused
from relay.media import rtp
from relay.transport import places
from relay.transport import sessions as module
from relay.transport.answer import Local
from relay.transport.fanout import NativeFanOut
from relay.transport.ice import Credentials
from relay.transport.peer import Peer
from relay.transport.places import HELD_SECONDS
from relay.transport.recorder_feed import RecorderFeed
from relay.transport.send_log import SendLogs
from relay.transport.sessions import Limits, Sessions
from relay.transport.trickle import write_fragment
from relay.transport.udp import UdpPort
from relay.transport.wire import Wire
from tests.relay.offers import OFFERS, ROOM, TEACHER

LIMITS = Limits(viewers_max=3, session_seconds=100.0, connect_seconds=0.05)


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Rig:
    clock: Clock
    sessions: Sessions

    def publish(self, lesson: str = "physics", subject: str = "ms-lan") -> str:
        return str(self.sessions.publish(lesson, subject, OFFERS[TEACHER])["session"])

    def watch(self, lesson: str = "physics", subject: str = "room") -> str:
        return str(self.sessions.watch(lesson, subject, OFFERS[ROOM])["session"])

    async def empty(self) -> None:
        """Wait until every session is gone."""
        for _ in range(200):
            if not self.sessions.peers:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(self.sessions.peers)


@contextlib.asynccontextmanager
async def started(limits: Limits) -> AsyncIterator[Rig]:
    clock = Clock()
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    port = UdpPort(sock, clock, lambda now: None)
    made = Sessions(
        port,
        NativeFanOut(port.fd, SendLogs(limits.viewers_max), clock),
        RecorderFeed(),
        clock,
        limits,
        ["127.0.0.1"],
        lambda lesson: None,
    )
    running = asyncio.create_task(made.run())
    await asyncio.sleep(0)
    try:
        yield Rig(clock, made)
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        port.close(asyncio.get_running_loop())


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with started(LIMITS) as made:
        yield made


@pytest.fixture
async def patient() -> AsyncIterator[Rig]:
    """One whose sessions may take their time to connect."""
    async with started(Limits(viewers_max=3)) as made:
        yield made


def code(error: pytest.ExceptionInfo[Refused]) -> tuple[int, str]:
    return error.value.status, error.value.code


async def test_a_session_that_never_connects_ends_and_leaves_nothing(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "relay.media")
    rig.publish()
    rig.watch()
    assert len(rig.sessions.peers) == 2
    await rig.empty()
    assert rig.sessions.routers == {}
    reasons = {record.__dict__["reason"] for record in caplog.records}
    assert reasons == {"never connected"}


async def test_a_lesson_that_had_media_keeps_counting_its_epochs(patient: Rig) -> None:
    identity = patient.publish()
    router = patient.sessions.routers["physics"]
    assert router.publisher is not None
    packet = rtp.build(111, False, 1, 960, 1122217908, b"", b"voice")
    router.receive_rtp(packet, patient.clock.now)
    assert router.publisher.layers
    patient.sessions.delete("physics", identity, "publisher", "ms-lan")
    await patient.empty()
    assert patient.sessions.routers == {"physics": router}
    patient.publish()
    assert router.epoch == 2


async def test_pending_rooms_count_towards_the_limit(patient: Rig) -> None:
    rooms = [patient.watch() for _ in range(3)]
    with pytest.raises(Refused) as caught:
        patient.watch()
    assert code(caught) == (503, "relay-full")
    patient.sessions.delete("physics", rooms[0], "viewer", "room")
    for _ in range(100):
        if len(patient.sessions.peers) < 3:
            break
        await asyncio.sleep(0.01)
    patient.watch()


async def test_on_a_full_relay_a_room_without_consent_gives_up_its_place(patient: Rig) -> None:
    rooms = [patient.sessions.peers[patient.watch(subject=f"room-{n}")] for n in range(3)]
    now = patient.clock.now
    for room, last in zip(rooms, (now, now - 40.0, now - 50.0), strict=True):
        room.wire = object()  # type: ignore[assignment]  # connected: nothing is sent through it
        room.ice.last_check = last
    patient.watch(subject="late")
    assert [room.ended.is_set() for room in rooms] == [False, False, True]
    rooms[1].ice.last_check = now
    with pytest.raises(Refused):
        patient.watch(subject="later")
    for room in rooms:
        room.wire = None


async def test_on_a_full_relay_one_link_does_not_keep_others_out() -> None:
    most = places.SUBJECT_FAIR + 2
    async with started(Limits(viewers_max=most)) as rig:
        pages = [rig.sessions.peers[rig.watch(subject="reloading")] for _ in range(most)]
        with pytest.raises(Refused):
            rig.watch(subject="reloading")
        rig.watch(subject="another")
        assert [page.ended.is_set() for page in pages].count(True) == 1
        rig.watch(subject="a third")
        with pytest.raises(Refused):
            rig.watch(subject="a fourth")  # the crowd is down to its fair part


async def test_teachers_are_bounded_too(patient: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PUBLISHERS_MAX", 5)
    for number in range(5):
        patient.publish(f"lesson-{number}")
    with pytest.raises(Refused) as caught:
        patient.publish("lesson-5")
    assert code(caught) == (503, "relay-full")
    patient.publish("lesson-4")  # who is there already may begin anew


async def test_a_flood_of_refused_offers_makes_nothing(rig: Rig) -> None:
    def refuse() -> None:
        rig.sessions.publish("physics", "ms-lan", OFFERS[TEACHER].replace("a=setup", "a=x"))

    for _ in range(50):
        with pytest.raises(Refused):
            refuse()
    assert rig.sessions.peers == {}
    assert rig.sessions.routers == {}


async def test_a_new_teachers_place_is_held_until_it_proves_dead(patient: Rig) -> None:
    patient.publish()
    with pytest.raises(Refused) as caught:
        patient.publish(subject="mr-binh")
    assert code(caught) == (409, "lesson-taken")
    patient.clock.now += HELD_SECONDS + 0.1
    patient.publish(subject="mr-binh")
    with pytest.raises(Refused):
        patient.publish(subject="ms-lan")


def _connected(rig: Rig, identity: str) -> Peer:
    """The session as it is after its handshake, checked just now."""
    peer = rig.sessions.peers[identity]
    keys = [
        Policy(
            key=bytes(range(28)),
            ssrc_type=kind,
            srtp_profile=Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
        )
        for kind in (Policy.SSRC_ANY_OUTBOUND, Policy.SSRC_ANY_INBOUND)
    ]
    peer.wire = Wire(Session(keys[0]), Session(keys[1]), 16)
    peer.ice.last_check = now = rig.clock.now
    peer.viewer = peer.router.add_viewer(peer.identity, peer.slots, peer.wire, now, 60_000.0)
    return peer


async def test_a_page_that_comes_anew_is_not_in_the_way_of_itself() -> None:
    async with started(Limits(viewers_max=4)) as rig:
        killed, lives, other = (
            _connected(rig, rig.watch(subject=name)) for name in ("room-1", "room-1", "room-2")
        )
        rig.clock.now += 4.0
        lives.ice.last_check = rig.clock.now
        rig.watch(subject="room-1")
        viewers = [peer.viewer for peer in (killed, lives, other)]
        assert [one is not None and one.running for one in viewers] == [False, True, True]
        # It lived after all: the next check brings everything back.
        killed.checked(rig.clock.now)
        assert killed.viewer is not None
        assert killed.viewer.running


async def test_a_session_ends_after_its_life_without_a_sign(patient: Rig) -> None:
    teacher = patient.sessions.peers[patient.publish()]
    room = patient.sessions.peers[patient.watch()]
    ends: list[str] = []
    for peer in (teacher, room):
        peer.wire = object()  # type: ignore[assignment]  # connected: nothing is sent through it
        peer.ice.last_check = patient.clock.now
    life = Limits().session_seconds
    patient.sessions.sweep(patient.clock.now + life)
    assert not teacher.ended.is_set()
    assert not room.ended.is_set()
    publisher = patient.sessions.routers["physics"].publisher
    assert publisher is not None
    # Media is as good a sign as a check: some encoders never check again.
    publisher.last_packet = patient.clock.now + life
    patient.sessions.sweep(patient.clock.now + life + 1)
    ends += [peer.role for peer in (teacher, room) if peer.ended.is_set()]
    assert ends == ["viewer"]
    patient.sessions.sweep(patient.clock.now + 2 * life + 1)
    assert teacher.ended.is_set()
    teacher.wire = room.wire = None


async def test_a_trickle_that_comes_after_its_restart_does_not_undo_it(patient: Rig) -> None:
    identity = patient.watch()
    peer = patient.sessions.peers[identity]
    before, first = peer.ice.remote, Credentials("next", "n" * 24)

    def patch(credentials: Credentials, etag: str | None = "*") -> str | None:
        text = write_fragment(Local(credentials, "", (), 9, False), "audio", "0")
        found = patient.sessions.patch("physics", identity, "viewer", "room", text, etag)
        fragment: str | None = found["fragment"]
        return fragment

    assert patch(before) is None
    answer = patch(first)
    assert answer is not None
    assert f"a=ice-ufrag:{peer.ice.local.ufrag}" in answer
    assert patch(first) is None
    with pytest.raises(Refused) as caught:
        patch(before)
    assert code(caught) == (412, "stale-etag")
    assert peer.ice.remote == first


async def test_an_ended_lesson_ends_everybodys_session(patient: Rig) -> None:
    patient.publish()
    patient.watch()
    patient.publish("history")
    patient.sessions.end_lesson("physics")
    for _ in range(100):
        if len(patient.sessions.peers) == 1:
            break
        await asyncio.sleep(0.01)
    assert [peer.lesson for peer in patient.sessions.peers.values()] == ["history"]
    assert set(patient.sessions.routers) == {"history"}
