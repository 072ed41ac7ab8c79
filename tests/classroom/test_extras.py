"""What is made after a lesson: written and read back, and refused where it lies. Pure."""

from __future__ import annotations

import json
from typing import Any

import pytest

from classroom.archive import names
from classroom.archive.extras import Captions, ExtraFile, Extras
from classroom.archive.journal import Init, Segment
from classroom.archive.manifest import RenditionManifest
from classroom.errors import Refused

HEX, OTHER = "0" * 64, "1" * 64


def copy(name: str = names.AAC_VOICE) -> RenditionManifest:
    init = Init(name, 0, "mp4a.40.2", 0, 0, 1, 600, HEX, "opus")
    segments = tuple(
        Segment(name, beat, 0, 0, 0, beat * 384_000, 384_000, 375, 30_000, HEX) for beat in (0, 1)
    )
    return RenditionManifest(name, names.timescale(name), (init,), segments, ())


EXTRAS = Extras("toan-7", HEX, (Captions("vi", "Tiếng Việt", 1_000, OTHER),), (copy(),))


def test_what_is_written_is_read_back() -> None:
    assert Extras.decode(EXTRAS.encode()) == EXTRAS
    bare = Extras("toan-7", "", EXTRAS.captions)
    assert Extras.decode(bare.encode()) == bare


def test_every_file_is_told_captions_first() -> None:
    assert EXTRAS.files() == [
        ExtraFile("captions", "vi.vtt", 1_000, OTHER),
        ExtraFile("aac-voice", "init-0.mp4", 600, HEX),
        ExtraFile("aac-voice", "0.m4s", 30_000, HEX),
        ExtraFile("aac-voice", "1.m4s", 30_000, HEX),
    ]


def test_copies_of_a_lesson_that_went_on_do_not_count_and_captions_do() -> None:
    assert EXTRAS.of(HEX) == EXTRAS
    later = EXTRAS.of(OTHER)
    assert (later.copies, later.captions) == ((), EXTRAS.captions)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"format": 2}, "extras.format"),
        ({"lesson": "../x"}, "extras.lesson"),
        ({"manifest": ""}, "extras.manifest"),
        ({"captions": {}}, "extras.captions"),
        ({"captions.language": "../vi"}, "extras.captions.language"),
        ({"captions.language": "VI"}, "extras.captions.language"),
        ({"captions.label": 'a"b'}, "extras.captions.label"),
        ({"captions.label": "a\nb"}, "extras.captions.label"),
        ({"captions.label": ""}, "extras.captions.label"),
        ({"captions.bytes": 5 * 2**20}, "extras.captions.bytes"),
        ({"captions.digest": "x"}, "extras.captions.digest"),
        ({"copies.name": "voice"}, "extras.copies.name"),
        ({"copies.name": "aac-voice/.."}, "extras.copies.name"),
        ({"copies.segments": []}, "extras.aac-voice.segments"),
    ],
)
def test_what_lies_is_refused(change: dict[str, object], field: str) -> None:
    document: dict[str, Any] = json.loads(EXTRAS.encode())
    for path, value in change.items():
        *lists, name = path.split(".")
        target = document[lists[0]][0] if lists else document
        target[name] = value
    with pytest.raises(Refused) as refused:
        Extras.decode(json.dumps(document).encode())
    assert refused.value.field == field


def test_captions_twice_or_in_disorder_are_refused() -> None:
    one, two = EXTRAS.captions[0], Captions("en", "English", 10, HEX)
    for captions in ((one, one), (one, two)):
        with pytest.raises(Refused):
            Extras.decode(Extras("toan-7", "", captions).encode())
    assert Extras.decode(Extras("toan-7", "", (two, one)).encode()).captions == (two, one)


def test_names_of_captions() -> None:
    assert names.parse_captions(names.captions_name("zh-hant")) == "zh-hant"
    for name in ("vi", "VI.vtt", ".vtt", "../vi.vtt", "vi.vtt.part", "vi-.vtt"):
        assert names.parse_captions(name) is None
    assert [names.is_copy(n) for n in ("aac-voice", "h264-camera", "voice", "h264-voice")] == [
        True,
        True,
        False,
        False,
    ]
