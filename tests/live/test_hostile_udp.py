"""What anybody can send to the one UDP port: dropped, counted, and nobody else notices.

Forged, truncated, replayed and random STUN, DTLS, RTP and RTCP, from strangers and from the address
of a room that is watching, while a lesson runs. Also: every SRTP profile and both DTLS roles carry
media, and a room that moves to another port goes on, or to TCP and back.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from aioice import stun
from aiortc import rtcdtlstransport
from aiortc.rtcdtlstransport import (
    SRTP_AEAD_AES_128_GCM,
    SRTP_AEAD_AES_256_GCM,
    SRTP_AES128_CM_SHA1_80,
    SRTPProtectionProfile,
)

from relay.media import rtp
from relay.transport.udp import SSRCS_MAX
from tests.fakes import light_link
from tests.fakes.light_sdp import H264, OPUS
from tests.fakes.peer import LightViewer
from tests.fakes.stream_bridge import stream_bridge
from tests.live.relay_alone import Relay, relay_alone
from tests.live.test_signalling import Lesson, until

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def relay(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Relay]:
    folder: Path = tmp_path_factory.mktemp("relay")
    async with relay_alone(folder) as running:
        yield running
        assert running.faults() == []


def rubbish(lesson: Lesson) -> Iterator[bytes]:
    """Datagrams of every kind that no honest peer sends."""
    chance = random.Random(7)
    answer = lesson.room.answer
    assert answer is not None
    request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
    request.attributes["USERNAME"] = f"{answer.ufrag}:{lesson.room._ufrag}"
    request.attributes["USE-CANDIDATE"] = None
    request.add_message_integrity(b"not the password, not at all")
    forged = bytes(request)
    media = rtp.build(OPUS, False, 7, 960, lesson.teacher.ssrcs[0], b"", os.urandom(80))
    control = struct.pack("!BBHI", 0x81, 206, 2, 1) + bytes(4) + os.urandom(24)
    hello = bytes([22, 254, 253]) + bytes(8) + struct.pack("!H", 40) + os.urandom(40)
    alert = bytes([21, 254, 253]) + bytes(8) + struct.pack("!H", 2) + b"\x02\x28"
    for whole in (forged, media, control, hello, alert):
        yield whole
        for size in range(0, len(whole), 5):
            yield whole[:size]
        for _ in range(20):
            spoilt = bytearray(whole)
            spoilt[chance.randrange(len(spoilt))] ^= 1 << chance.randrange(8)
            yield bytes(spoilt)
    for first in range(256):
        yield bytes([first]) + chance.randbytes(chance.randrange(200))
    yield chance.randbytes(4_000)


async def assert_complete(lesson: Lesson) -> None:
    """Not one packet of the voice or the picture is missing at the room."""
    await lesson.goes_on()
    for stream in lesson.room.streams.values():
        numbers = sorted(stream.sequence_numbers)
        assert len(numbers) == len(set(numbers))
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


async def test_strangers_are_not_heard(relay: Relay) -> None:
    async with Lesson(relay) as lesson:
        before = await relay.received()
        sent = list(rubbish(lesson))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.setblocking(False)
            stranger.connect(("127.0.0.1", relay.udp_port))
            for number, data in enumerate(sent):
                stranger.send(data)
                if number % 20 == 0:
                    await asyncio.sleep(0)
            await assert_complete(lesson)
            with pytest.raises(BlockingIOError):
                stranger.recv(2_000)
        after = await relay.received()
        more = {kind: after[kind] - before[kind] for kind in after}
        kinds = ("stun_refused", "unknown_address", "truncated")
        assert sum(more[kind] for kind in kinds) == len(sent)
        assert more["forged"] == 0
        assert min(more[kind] for kind in kinds) > 0


async def test_rubbish_from_a_rooms_own_address_costs_nobody_a_packet(relay: Relay) -> None:
    async with Lesson(relay) as lesson:
        before = await relay.received()
        for number, data in enumerate(rubbish(lesson)):
            lesson.room.send_raw(data)
            if number % 20 == 0:
                await asyncio.sleep(0)
        await assert_complete(lesson)
        after = await relay.received()
        for kind in ("stun_refused", "forged", "truncated", "unknown_kind", "dtls"):
            assert after[kind] > before[kind], kind


async def test_a_replayed_packet_counts_once(relay: Relay) -> None:
    async with Lesson(relay) as lesson:
        before = await relay.received()
        packet = rtp.build(OPUS, False, 65_000, 0, lesson.teacher.ssrcs[0] ^ 1, b"", b"again")
        protected = lesson.teacher._outbound.protect(packet)
        for _ in range(5):
            lesson.teacher.send_raw(protected)
        await assert_complete(lesson)
        assert (await relay.received())["replayed"] - before["replayed"] == 4


async def test_a_peer_with_a_thousand_ssrcs_costs_no_more_than_a_few(relay: Relay) -> None:
    async with Lesson(relay) as lesson:
        before = await relay.received()
        heard = len({*lesson.teacher.ssrcs})
        for number in range(1_000):
            lesson.teacher.send_rtp(rtp.build(OPUS, False, 7, 960, 10_000 + number, b"", b"new"))
            if number % 20 == 0:
                await asyncio.sleep(0.002)
        await assert_complete(lesson)
        crowded = (await relay.received())["crowded"] - before["crowded"]
        # Its reports and its media were heard before; the rest of the room is taken by these.
        assert 1_000 - SSRCS_MAX < crowded <= 1_000 - SSRCS_MAX + heard + 1


async def test_a_room_whose_address_changes_goes_on(relay: Relay) -> None:
    async with Lesson(relay) as lesson:
        await lesson.goes_on()
        lesson.room.rebind()
        await lesson.goes_on(100)
        lesson.teacher.rebind()
        await lesson.goes_on(100)
        # Numbers that nobody gave out again: the voice's, the picture's, and padding beside them.
        types = [stream.payload_type for stream in lesson.room.streams.values()]
        assert types.count(OPUS) == types.count(H264) == 1


async def test_a_room_over_tcp_misses_nothing_and_may_go_back(relay: Relay) -> None:
    async with Lesson(relay) as lesson:
        room = relay.viewer("room-2", keep_numbers=True)
        await room.signal()
        found = re.search(r" 1 tcp \d+ (\S+) (\d+) typ host tcptype passive", room.answer_sdp)
        assert found is not None
        async with stream_bridge(found[1], int(found[2])) as bridge:
            assert room.answer is not None
            over_udp = room.answer
            over_tcp = room.answer = replace(over_udp, address=bridge.address)
            await room.establish()
            await _receives(room, 60)
            numbers = [sorted(one.sequence_numbers) for one in room.streams.values()]
            assert len(numbers) == 2
            assert all(one == list(range(one[0], one[0] + len(one))) for one in numbers)
            # The browser nominates another pair: everything follows it at once.
            for answer in (over_udp, over_tcp):
                room.answer = answer
                room.rebind()
                await _receives(room, 60)
        # The connection broke: a check from elsewhere is all that is needed.
        room.answer = over_udp
        room.rebind()
        await _receives(room, 60)
        assert (await relay.counters())["relay_viewers"] == 2
        await assert_complete(lesson)
        await room.leave()


async def _receives(room: LightViewer, packets: int) -> None:
    now = room.packets
    await until(lambda: room.packets >= now + packets)


@pytest.mark.parametrize(
    "profile",
    [SRTP_AEAD_AES_128_GCM, SRTP_AEAD_AES_256_GCM, SRTP_AES128_CM_SHA1_80],
    ids=lambda profile: profile.openssl_profile.decode(),
)
async def test_every_srtp_profile_carries_media(
    relay: Relay, profile: SRTPProtectionProfile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(light_link, "SRTP_AEAD_AES_128_GCM", profile)
    async with Lesson(relay) as lesson:
        dtls = lesson.room._dtls
        assert dtls is not None
        assert dtls._ssl is not None
        assert dtls._ssl.get_selected_srtp_profile() == profile.openssl_profile
        await assert_complete(lesson)


async def test_a_handshake_with_the_wrong_certificate_gets_no_media(
    relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (await relay.counters())['relay_handshakes_failed_total{kind="all"}']
    room = relay.viewer()
    await room.signal()
    other = rtcdtlstransport.RTCCertificate.generateCertificate()
    monkeypatch.setattr(light_link, "_certificate", other)
    await room.establish()

    async def failed() -> bool:
        found = await relay.counters()
        return found['relay_handshakes_failed_total{kind="all"}'] > before

    await until(failed)
    assert room.packets == 0
    assert (await relay.counters())["relay_viewers"] == 0
    await room.vanish()
