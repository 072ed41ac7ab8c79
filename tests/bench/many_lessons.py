"""A library of thousands for benchmarks: archives on a relay's disk, rows in a control plane's.

The words are those of a school; the manifests are of 45-minute lessons. No media: the benchmarks
that use this look for lessons and do not play them.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from sqlalchemy import insert

from classroom import lessons
from classroom.archive.journal import Init, Segment
from classroom.archive.manifest import Manifest, RenditionManifest
from classroom.lessons import Archive
from classroom.store import Records, tables
from classroom.wire import LessonState

_SUBJECTS: Final = ("Toán", "Vật lý", "Hoá học", "Ngữ văn", "Lịch sử", "Địa lý", "Tiếng Anh")
_TEACHERS: Final = ("Cô Hoa", "Thầy Bình", "Cô Mai Phương", "Thầy Đức", "Cô Thuý", "Cô Nhàn")
_TITLES: Final = (
    *("Định luật Ôm", "Đường thẳng song song", "Phương trình bậc hai", "Cách mạng tháng Tám"),
    *("Thơ Đường", "Sông ngòi Việt Nam", "Phản ứng hoá khử", "Truyện Kiều", "Đoạn mạch nối tiếp"),
)
_BEATS: Final = 338  # 45 minutes of 8 seconds
SEARCHES: Final = ("", "a", "th", "dinh luat", "duong", "co hoa", "bai 7", "tieng anh 9", "zzzz")
"""Words as pupils type them: none, a letter, what nearly all lessons have, what none has."""


def words(count: int) -> Iterator[dict[str, Any]]:
    """What is written about each lesson, always the same."""
    seeded = random.Random(15_000)
    for number in range(count):
        yield {
            "id": f"bai-{number:05}",
            "title": f"{seeded.choice(_TITLES)} – bài {seeded.randrange(40)}",
            "teacher": seeded.choice(_TEACHERS),
            "subject": seeded.choice(_SUBJECTS),
            "grade": str(seeded.randrange(1, 13)),
            "school": f"THCS số {seeded.randrange(1, 30)}",
            "started_at": 1_700_000_000.0 + 600.0 * seeded.randrange(count),
        }


def keep_archives(archives: Path, count: int) -> None:
    """`count` finished archives; they share one manifest by hard links."""
    archives.mkdir(parents=True, exist_ok=True)
    model = archives.parent / "model-manifest.json"
    model.write_bytes(_manifest().encode())
    for about in words(count):
        directory = archives / about["id"]
        directory.mkdir()
        os.link(model, directory / "manifest.json")
        (directory / "about.json").write_text(json.dumps(about, ensure_ascii=False))


async def keep_records(data: Path, count: int) -> None:
    """`count` published lessons in a control plane's records, as an earlier version left them."""
    records = Records("", data)
    await records.prepare()
    rows = []
    for about in words(count):
        started_at = about.pop("started_at")
        planned = lessons.plan(
            about.pop("id"), about.pop("title"), owner="hoa", now=started_at, **about
        )
        published = replace(
            planned,
            state=LessonState.PUBLISHED,
            started_at=started_at,
            ended_at=started_at + 2_700,
            published_at=started_at + 2_701,
            archive=Archive(2_700.0, 300_000_000, ("voice", "camera-q")),
        )
        rows.append(tables.lesson_row(published))
    async with records._engine.begin() as connection:
        await connection.execute(insert(tables.lessons), rows)
    await records.close()


def _manifest() -> Manifest:
    renditions = []
    for name, ticks, frames, size in (
        ("camera-h", 90_000, 120, 300_000),
        ("voice", 48_000, 400, 32_000),
    ):
        video = name != "voice"
        init = Init(
            rendition=name,
            number=0,
            codec="avc1.42c01f" if video else "opus",
            width=640 if video else 0,
            height=360 if video else 0,
            channels=0 if video else 2,
            bytes=700,
            digest="0" * 64,
            source="h264" if video else "opus",
        )
        segments = tuple(
            Segment(
                rendition=name,
                beat=beat,
                part=0,
                init=0,
                take=0,
                start=8 * ticks * beat,
                duration=8 * ticks,
                frames=frames,
                bytes=size,
                digest=f"{beat:064x}",
            )
            for beat in range(_BEATS)
        )
        renditions.append(RenditionManifest(name, ticks, (init,), segments, ()))
    return Manifest("bai-00000", 1_700_000_000_000, 8_000, True, tuple(renditions))
