"""A school's relay and its parent as their real processes: a lesson comes, is shown and counted."""

from __future__ import annotations

from pathlib import Path

from tests.bench.archive_sync_rig import Rig, get, until_settled
from tests.link import joined
from tests.link_presets import PRESETS


async def test_a_lesson_comes_to_the_school_and_is_shown_there(tmp_path: Path) -> None:
    async with joined(PRESETS["school-fibre"]) as weak:
        rig = Rig(weak, tmp_path)
        rig.lesson("parent", "toan-7", beats=20, title="Định luật Ôm")
        async with rig.parent(), rig.school() as school:
            await until_settled(school, "toan-7", 20.0)
            listed = await get(weak.room, "/api/lessons?q=dinh+luat", rig.room_token("*"))
            metrics = await get(weak.room, "/metrics", "")
        assert rig.archive("school", "toan-7") == rig.archive("parent", "toan-7")
    assert '"title": "Định luật Ôm"' in listed
    assert '"playable": true' in listed
    assert 'relay_sync_total{kind="lessons"} 1.0' in metrics
    assert 'relay_sync_state{state="idle"} 1.0' in metrics
