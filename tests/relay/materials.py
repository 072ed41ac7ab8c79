"""What tests of materials that are brought have in common."""

from __future__ import annotations

from pathlib import Path

from classroom.clock import Clock, wall
from relay.sync.client import Rules
from tests.fakes.offering_relay import Relay, School


def school_of(
    tmp_path: Path,
    *parents: Relay,
    rules: Rules | None = None,
    materials_bytes: int = 0,
    date: Clock = wall,
) -> School:
    urls = [one.url for one in parents]
    return School(tmp_path / "school", urls, rules, materials_bytes=materials_bytes, date=date)


def files(relay: Relay) -> list[str]:
    """Digests of files that it was asked for, in order."""
    return [path.rpartition("/")[2] for path in relay.asked if "/materials/" in path]


def whole(school: School, lesson: str) -> bool:
    return school.store.held(lesson) is not None and not school.store.missing(lesson)
