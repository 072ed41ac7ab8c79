"""A power cut between two writes of a copy: what is all here only gets its place.

Here: two instants at which nothing is left to fetch. All others: `test_power_cut`, and `python -m
tests.bench archive --scenario crash`.
"""

from __future__ import annotations

from pathlib import Path

from relay.cache.settling import settle
from tests.eventually import eventually
from tests.fakes.archives import make
from tests.fakes.offering_relay import Relay, School
from tests.relay.test_sync import read_archive


async def test_what_came_to_its_last_byte_before_a_cut_only_gets_its_place(tmp_path: Path) -> None:
    made = make(beats=2, sizes={"voice": 20_000})
    parent = Relay(tmp_path / "parent")
    made.write(parent.archives)
    async with parent.running():
        school = School(tmp_path / "school", [parent.url])
        school.cache.begin("toan-7", made.manifest)
        for part in school.cache.missing("toan-7"):
            school.cache.append(part, 0, made.files[f"{part.rendition}/{part.name}"])
        async with school.fetching():
            await eventually(lambda: school.settled("toan-7"))
            # The words beside it come last.
            await eventually(lambda: (school.archives / "toan-7" / "about.json").exists())
            assert school.sync.counts["rubbish"] == 0
    assert read_archive(school) == made.files
    assert not [path for path in parent.asked if path.endswith("/bytes")]


async def test_a_cut_before_a_whole_lesson_is_remembered_costs_nothing(tmp_path: Path) -> None:
    made = make(beats=2, sizes={"voice": 20_000})
    parent = Relay(tmp_path / "parent")
    made.write(parent.archives)
    async with parent.running():
        before = School(tmp_path / "school", [parent.url])
        manifest = before.cache.begin("toan-7", made.manifest)
        for part in before.cache.missing("toan-7"):
            before.cache.put(part, made.files[f"{part.rendition}/{part.name}"])
        before.cache.close()
        settle(before.archives / "toan-7", manifest, made.journal, made.events)
        school = School(tmp_path / "school", [parent.url])
        async with school.fetching():
            await eventually(lambda: school.settled("toan-7"))
            # The words beside it come last.
            await eventually(lambda: (school.archives / "toan-7" / "about.json").exists())
    assert read_archive(school) == made.files
    assert not [path for path in parent.asked if path.endswith("/bytes")]
