"""The library of a relay: kept in step with archives on disk, found by words, page by page."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from classroom.archive.manifest import Manifest
from classroom.library import Query, search
from relay.web.archived import ABOUT, read_archived
from relay.web.catalogue import Catalogue

WORDS = ["Định", "luật", "Ôm", "Đường", "thẳng", "Thơ", "Vật", "lý", "Toán", "Ngữ", "văn", "Sử"]
EVERYTHING = Query()


class Disk:
    """A directory of archives with its catalogue, and a clock that stands still."""

    def __init__(self, folder: Path) -> None:
        self.archives = folder / "archives"
        self.archives.mkdir()
        self.file = folder / "library.sqlite3"
        self.now = 1_000.0
        self.catalogue = self.start()

    def start(self) -> Catalogue:
        return Catalogue(self.file, self.archives, lambda: self.now)

    def keep(self, lesson: str, finished: bool = True, **about: Any) -> Path:
        """An archive with words about it; without `finished` only its journal."""
        directory = self.archives / lesson
        directory.mkdir(exist_ok=True)
        if finished:
            manifest = Manifest(lesson, 1_700_000_000_000, 8_000, True, ())
            (directory / "manifest.json").write_bytes(manifest.encode())
        else:
            (directory / "journal.jsonl").write_bytes(b"")
        (directory / ABOUT).write_text(json.dumps({"title": lesson, "teacher": "Cô Hoa"} | about))
        return directory

    def look(self) -> None:
        while self.catalogue.look(0.0):
            pass

    def ids(self, query: Query = EVERYTHING, **options: Any) -> list[str]:
        asked = {"lesson": None, "without": (), "limit": 100, "offset": 0} | options
        return [place[2] for place, _ in self.catalogue.page(query, **asked)[0]]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    made = Disk(tmp_path)
    yield made
    made.catalogue.close()


def test_archives_that_come_change_and_go_are_followed(disk: Disk) -> None:
    disk.keep("vat-ly", finished=False, title="Định luật Ôm", started_at=5.0)
    disk.keep("toan")
    disk.look()
    assert disk.ids(Query("luat")) == ["vat-ly"]
    [(_, document)], total = disk.catalogue.page(Query("luat"), None, (), 10, 0)
    assert (json.loads(document)["state"], json.loads(document)["playable"]) == ("ended", True)
    assert total == 1
    disk.keep("vat-ly", title="Định luật Ôm", started_at=5.0)
    disk.look()
    assert disk.ids(Query(states=frozenset({"published"}))) == ["toan", "vat-ly"]
    shutil.rmtree(disk.archives / "toan")
    disk.look()
    assert disk.ids() == ["vat-ly"]


def test_a_finished_archive_is_read_again_when_it_is_noted_and_sooner_or_later_anyway(
    disk: Disk,
) -> None:
    disk.keep("vat-ly", title="Ôm")
    disk.look()
    disk.keep("vat-ly", title="Đoạn mạch")
    disk.look()
    assert disk.ids(Query("doan")) == []  # looking at each of thousands costs too much
    disk.catalogue.note("vat-ly")
    disk.look()
    assert disk.ids(Query("doan")) == ["vat-ly"]
    disk.keep("vat-ly", title="Điện trở của dây")
    disk.now += 3_600.0
    disk.look()
    assert disk.ids(Query("dien tro")) == ["vat-ly"]


def test_a_catalogue_is_kept_and_what_changed_while_nobody_looked_is_found(disk: Disk) -> None:
    for name in ("aaa", "bbb", "ccc"):
        disk.keep(name)
    disk.look()
    disk.catalogue.close()
    disk.keep("bbb", title="Đường tròn")
    shutil.rmtree(disk.archives / "aaa")
    disk.catalogue = disk.start()
    disk.catalogue.look(0.0)  # one step: what was known is shown at once
    assert disk.ids() == ["bbb", "ccc"]
    disk.look()
    assert disk.ids(Query("tron")) == ["bbb"]


def test_the_same_is_found_in_the_same_order_as_by_looking_at_every_lesson(disk: Disk) -> None:
    seeded = random.Random(4)
    for number in range(60):
        disk.keep(
            f"bai-{number}",
            title=" ".join(seeded.choices(WORDS, k=4)),
            teacher=seeded.choice(["Cô Hoa", "Thầy Toán", "Cô Mai"]),
            subject=seeded.choice(["Vật lý", "Toán", None]),
            grade=seeded.choice(["9", "8", None]),
            school=seeded.choice(["Mường La", "Trà Leng", None]),
            started_at=seeded.choice([None, float(seeded.randrange(30))]),
        )
    disk.look()
    read = [one for path in disk.archives.iterdir() if (one := read_archived(path)) is not None]
    for words in ("", "on", "duong thang", "TOÁN", "hoa 9", "bai 1", "zzz", "%", "_", "'"):
        for subject, school in ((None, None), ("vat ly", None), (None, "tra leng")):
            for grade in (None, "8"):
                query = Query(words, subject, grade, school=school)
                expected = [one.id for one in search(read, query)]
                assert disk.ids(query) == expected
                pages = [disk.ids(query, limit=7, offset=start) for start in range(0, 60, 7)]
                assert [name for page in pages for name in page] == expected
                for start in (0, 3, 59, 1_000):
                    assert disk.catalogue.page(query, None, (), 7, start)[1] == len(expected)


def test_only_the_lesson_of_a_token_and_none_that_is_known_otherwise(disk: Disk) -> None:
    for name in ("aaa", "bbb", "ccc"):
        disk.keep(name)
    disk.look()
    assert disk.ids(lesson="bbb") == ["bbb"]
    assert disk.ids(lesson="bbb", without=["bbb"]) == []
    assert disk.ids(without=["bbb"]) == ["aaa", "ccc"]
    assert disk.catalogue.durations(["ccc", "none-such"]) == {"ccc": 0.0}


@pytest.mark.parametrize(
    "about",
    [
        b"",
        b"[" * 100_000,
        b'{"title": 7, "teacher": null, "started_at": true}',
        b'{"title": "\\ud800", "started_at": NaN, "planned_at": 1e400}',
        b'{"title": "", "started_at": ' + b"9" * 400 + b"}",
        b'{"title": "' + b"x" * 70_000 + b'"}',
    ],
)
def test_words_that_nobody_wrote_on_purpose_cost_an_archive_its_title_at_most(
    disk: Disk, about: bytes
) -> None:
    (disk.keep("vat-ly") / ABOUT).write_bytes(about)
    disk.keep("toan")
    disk.look()
    assert sorted(disk.ids()) == ["toan", "vat-ly"]
    [(_, document)], _ = disk.catalogue.page(EVERYTHING, "vat-ly", (), 1, 0)
    json.dumps(json.loads(document), allow_nan=False).encode()


@pytest.mark.parametrize("manifest", [b"", b"{}", b"[" * 100_000, b"\xff" * 100])
def test_a_manifest_that_cannot_be_read_hides_its_archive_alone_until_it_is_mended(
    disk: Disk, manifest: bytes
) -> None:
    directory = disk.keep("vat-ly")
    (directory / "manifest.json").write_bytes(manifest)
    disk.keep("toan")
    (disk.archives / "Not a lesson").mkdir()
    (disk.archives / "a-file").write_text("")
    disk.look()
    assert disk.ids() == ["toan"]
    disk.keep("vat-ly")
    disk.look()
    assert sorted(disk.ids()) == ["toan", "vat-ly"]


def test_a_torn_or_foreign_file_is_made_again(disk: Disk) -> None:
    disk.keep("vat-ly")
    disk.look()
    disk.catalogue.close()
    size = disk.file.stat().st_size
    for rubbish in (b"rubbish" * 1_000, disk.file.read_bytes()[: size // 2], b"", os.urandom(size)):
        for leftover in disk.file.parent.glob("library.sqlite3*"):
            leftover.unlink()
        disk.file.write_bytes(rubbish)
        disk.catalogue = disk.start()
        disk.look()
        assert disk.ids() == ["vat-ly"]
        disk.catalogue.close()
    with sqlite3.connect(disk.file) as other:
        other.execute("PRAGMA user_version = 999")
    other.close()
    disk.catalogue = disk.start()
    disk.look()
    assert disk.ids() == ["vat-ly"]


def test_without_a_place_for_its_file_the_library_is_kept_in_memory(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    disk.keep("vat-ly")
    disk.file.mkdir()
    (disk.file / "full").write_text("")
    disk.look()
    assert disk.ids() == ["vat-ly"]
    disk.catalogue.close()


def test_without_archives_nothing_is_found(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    disk.look()
    disk.archives.rmdir()
    disk.look()
    assert disk.ids() == []
    disk.catalogue.close()
