"""Adding captions from the command line: what is taken, what is told, what stays as it was."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from classroom.archive.extras import Extras
from relay.__main__ import main
from relay.record.copies_worker import make
from tests.relay.test_hls import GOLDEN

LESSON = "toan-7-golden"
VTT = "WEBVTT\n\n00:00.000 --> 00:02.000\nChào các em\n"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    shutil.copytree(GOLDEN, tmp_path / "archives" / LESSON)
    (tmp_path / "vi.vtt").write_text(VTT)
    return tmp_path


def add(data: Path, *, lesson: str = LESSON, file: str = "vi.vtt", language: str = "vi",
        label: str = "Tiếng Việt") -> int:  # fmt: skip
    words = ["captions", lesson, str(data / file), "--language", language, "--label", label]
    return main([*words, "--data", str(data)])


def extras(data: Path) -> Extras:
    return Extras.decode((data / "archives" / LESSON / "extras.json").read_bytes())


def test_captions_are_added_beside_copies_and_replaced(data: Path) -> None:
    make(data / "archives" / LESSON)
    before = extras(data)
    assert add(data) == 0
    (data / "en.vtt").write_text(VTT.replace("Chào các em", "Hello"))
    assert add(data, file="en.vtt", language="EN", label="English") == 0
    assert [one.language for one in extras(data).captions] == ["en", "vi"]
    assert (extras(data).copies, extras(data).manifest) == (before.copies, before.manifest)
    (data / "vi.vtt").write_text(VTT + "\n00:02.000 --> 00:03.000\nHết\n")
    assert add(data) == 0
    [_, vietnamese] = extras(data).captions
    file = data / "archives" / LESSON / "captions" / "vi.vtt"
    assert vietnamese.bytes == len(file.read_bytes()) == len((data / "vi.vtt").read_bytes())


@pytest.mark.parametrize(
    ("options", "content", "told"),
    [
        ({"lesson": "van-8"}, VTT, "no finished recording"),
        ({"lesson": "../x"}, VTT, "no finished recording"),
        ({"file": "none.vtt"}, VTT, "cannot read"),
        ({}, "1\n00:00:00,000 --> 00:00:02,000\nSRT\n", "not WebVTT"),
        ({}, "WEBVTT\n", "not WebVTT"),
        ({}, "WEBVTT --> \udcff", "not UTF-8"),
        ({}, VTT + "x" * (4 << 20), "larger"),
        ({"language": "../vi"}, VTT, "cannot be added"),
        ({"label": 'a"b'}, VTT, "cannot be added"),
    ],
)
def test_what_cannot_be_added_is_told_and_changes_nothing(
    data: Path, capsys: pytest.CaptureFixture[str], options: dict[str, str], content: str, told: str
) -> None:
    (data / "vi.vtt").write_bytes(content.encode("utf-8", "surrogateescape"))
    assert add(data, **options) == 2
    assert told in capsys.readouterr().err
    assert not (data / "archives" / LESSON / "extras.json").exists()
    assert not (data / "archives" / LESSON / "captions").exists()
