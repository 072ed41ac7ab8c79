"""What a room that was let in can say: floods and lies cost it a little, and nobody else anything.

Here: requests and reports of a real session, a hundred a second, beside a room that behaves. Not
here: datagrams of strangers (test_hostile_udp), each rule by itself (tests/relay, tests/scenarios).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from classroom.clock import monotonic
from relay.media.rtcp_build import build_nack, build_pli, build_rr
from relay.media.twcc import ArrivalLog
from tests.fakes.light_sdp import H264
from tests.fakes.peer import LightViewer
from tests.fakes.rtcp_build import build_remb
from tests.live.relay_alone import Relay, relay_alone
from tests.live.test_hostile_udp import assert_complete
from tests.live.test_signalling import Lesson, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

_ROUNDS = 150
_PAUSE_S = 0.02


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def relay(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Relay]:
    folder: Path = tmp_path_factory.mktemp("relay")
    async with relay_alone(folder) as running:
        yield running
        assert running.faults() == []


def flood(room: LightViewer) -> None:
    """Everything at once: asks for all it had, for pictures, and praises its link."""
    ssrc, picture = next(
        (ssrc, one) for ssrc, one in room.streams.items() if one.payload_type == H264
    )
    newest = picture.sequence_numbers[-1]
    head = build_rr(room.ssrc)
    asked = [newest - back & 0xFFFF for back in range(300)]
    room.send_rtcp(head + build_nack(room.ssrc, ssrc, asked))
    room.send_rtcp(head + build_pli(room.ssrc, ssrc))
    room.send_rtcp(head + build_remb(room.ssrc, 1 << 60, [ssrc]))
    log = ArrivalLog()
    for number in range(40):
        # Of numbers that were never sent, on a clock that leaps.
        log.receive(30_000 + number, monotonic() + 1e4 * (newest % 7) + number * 1e-3)
    while (report := log.build(monotonic(), room.ssrc, ssrc)) is not None:
        room.send_rtcp(report)


async def test_a_room_that_floods_and_lies_gets_little_and_costs_nobody_a_packet(
    relay: Relay,
) -> None:
    async with Lesson(relay) as lesson:
        bad = relay.viewer("room-bad", feedback=False, reports=False, keep_numbers=True)
        await bad.connect()
        await until(lambda: len(bad.streams) == 2)
        await until(lambda: all(one.packets > 20 for one in bad.streams.values()))
        asked = lesson.teacher.keyframe_requests
        before = await relay.counters()
        sizes = [sum(one.bytes for one in room.streams.values()) for room in (bad, lesson.room)]
        for _ in range(_ROUNDS):
            flood(bad)
            await asyncio.sleep(_PAUSE_S)
        sent = [sum(one.bytes for one in room.streams.values()) for room in (bad, lesson.room)]
        await assert_complete(lesson)
        # Its floods bring it a few resends, and no others' share.
        assert sent[0] - sizes[0] < 1.5 * (sent[1] - sizes[1])
        # A beat may have come; a flood brings none.
        assert lesson.teacher.keyframe_requests <= asked + 1
        after = await relay.counters()
        more = {
            kind: after[name] - before.get(name, 0.0)
            for kind in ("flooded", "hasty", "false_feedback")
            for name in after
            if name.startswith("relay_repairs_total") and f'"{kind}"' in name
        }
        assert set(more) == {"flooded", "hasty", "false_feedback"}
        assert more["flooded"] > _ROUNDS
        assert more["hasty"] > 0
        assert more["false_feedback"] > _ROUNDS / 2
        await bad.leave()


async def test_a_room_that_falls_silent_is_sent_less_and_less(relay: Relay) -> None:
    async with Lesson(relay) as lesson:
        quiet = relay.viewer("room-quiet")
        await quiet.connect()
        await until(lambda: len(quiet.streams) == 2)
        await asyncio.sleep(1.0)
        for timer in quiet._timers.values():
            timer.cancel()
        await asyncio.sleep(7.0)
        (picture,) = (one for one in quiet.streams.values() if one.payload_type == H264)
        until_now = picture.packets
        await asyncio.sleep(1.0)
        # The voice goes on, the picture does not.
        assert picture.packets == until_now
        await assert_complete(lesson)
        await quiet.leave()
