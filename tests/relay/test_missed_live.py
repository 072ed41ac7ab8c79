"""What a running lesson lost while the link was down comes from the parent, by real parts."""

from __future__ import annotations

from pathlib import Path

from classroom.archive.names import MANIFEST
from tests.eventually import eventually
from tests.fakes.archives import LESSON, make
from tests.fakes.offering_relay import Relay, School


async def test_a_school_hears_of_what_it_missed_and_fetches_what_is_watched(tmp_path: Path) -> None:
    parent = Relay(tmp_path / "parent")
    source = make(beats=4, finished=False)
    source.write(parent.archives, without=[MANIFEST])
    lost = {name: [1, 2] for name in ("voice", "camera-q", "camera-f")}
    own = make(beats=5, feed="ours", lost=lost, finished=False)
    own.write(tmp_path / "school" / "archives", without=[MANIFEST])
    async with parent.running():
        school = School(tmp_path / "school", [parent.url])
        async with school.fetching():
            hole = school.cache.hole(LESSON)
            assert hole == ("voice", "1.m4s")
            await eventually(lambda: bool(school.sync.sources))
            assert await school.sync.ask_now(LESSON, *hole)
            assert school.cache.hole(LESSON) is None
            assert await school.sync.ask_now(LESSON, "camera-q", "2.m4s")
            path = school.cache.open_verified(LESSON, "camera-q", "2.m4s")
    assert path is not None
    assert path.read_bytes() == source.part("camera-q", "2.m4s")
    manifest, _ = school.cache.view(LESSON)
    assert {len(rendition.segments) for rendition in manifest.renditions} == {5}
    assert sum(path.startswith("/archives/") for path in parent.asked) == 2
