"""Real relays, one below the other: a lesson taught at the first is seen and heard at the second.

Real processes, sockets and HTTP; the teacher and the rooms are light peers. What a trunk carries,
byte by byte, is looked at in tests/relay/test_trunk_media.py; here that the services bring it
about.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.eventually import eventually
from tests.fakes.light_lesson import LightLesson
from tests.live.relay_alone import relay_alone

_ENOUGH = 100


async def test_two_rooms_at_a_school_have_one_copy_of_a_lesson(tmp_path: Path) -> None:
    async with (
        relay_alone(tmp_path / "root") as root,
        relay_alone(tmp_path / "school", parent=root) as school,
    ):
        teacher = root.publisher()
        await teacher.connect()
        lesson = asyncio.create_task(LightLesson(teacher).run(60.0))
        rooms = [school.viewer(f"room-{number}") for number in (1, 2)]
        for room in rooms:
            await room.connect()

        def is_watched() -> bool:
            return all(len(room.streams) == 2 and room.packets > _ENOUGH for room in rooms)

        await eventually(is_watched)
        sent = (await root.counters())['relay_packets_sent_total{kind="packets"}']
        got = [room.packets for room in rooms]
        lesson.cancel()
        assert sent < 1.3 * max(got), "more than one copy left the root"
        assert not any(one.stats.lost for room in rooms for one in room.streams.values())
        for room in rooms:
            await room.vanish()
        await teacher.vanish()
        assert not root.faults()
        assert not school.faults()
