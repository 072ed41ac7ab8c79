"""The archive's files: read back as written, refused by name when damaged.

No disk here; the golden archive is under `tests/vectors/archive`.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classroom.archive import journal, manifest, names
from classroom.archive.canonical import digest
from classroom.archive.contents import Contents, Header, read_journal
from classroom.archive.events import Event
from classroom.archive.journal import (
    Anchor,
    Entry,
    Finished,
    Gap,
    Init,
    Mark,
    Note,
    Opened,
    Place,
    Segment,
    Take,
)
from classroom.archive.manifest import Manifest
from classroom.errors import Refused

GOLDEN = Path(__file__).parent.parent / "vectors" / "archive" / "toan-7-golden"
HEX = "0" * 64
HEADER = Header("toan-7", 1_760_000_000_000, 8_000)
ENTRIES: list[Entry] = [
    Take(0, "a1b2", 0, 0),
    Init("camera-f", 0, "avc1.42e01f", 1280, 720, 0, 700, HEX, "h264"),
    Opened("camera-f", 0, 0, 0, 0),
    Anchor("camera-f", 2**32 - 1, 1_760_000_000_000_000),
    Mark("a1b2", {"camera-f": Place(90_000, 3, 65_535, 17)}),
    Segment("camera-f", 0, 0, 0, 0, 0, 720_000, 240, 5_000, HEX),
    Gap("camera-f", 720_000, 900_000, "loss"),
    Segment("camera-f", 1, 0, 0, 0, 900_000, 720_000, 240, 6_000, HEX),
    Note(1_760_000_000_000, "the transcoder died"),
    Finished(1_760_000_000_000),
]


def test_every_entry_survives_its_line() -> None:
    for entry in ENTRIES:
        line = journal.encode(entry)
        assert line.endswith(b"\n")
        assert line.count(b"\n") == 1
        assert journal.decode(line) == entry


def test_a_journal_is_read_up_to_its_tear_wherever_that_is() -> None:
    lines = [journal.encode(entry) for entry in ENTRIES]
    whole = b"".join(lines)
    ends = [sum(map(len, lines[: n + 1])) for n in range(len(lines))]
    for size in range(len(whole)):
        reader = read_journal(whole[:size])
        assert reader.consumed == max((end for end in ends if end <= size), default=0)
    damaged = whole[: ends[3]] + b'{"kind":' + b"\0" * 30 + b"\n" + whole[ends[3] :]
    reader = read_journal(damaged)
    assert reader.damaged
    assert reader.consumed == ends[3]


def test_contents_and_manifest_follow_from_the_journal() -> None:
    contents = read_journal(b"".join(map(journal.encode, ENTRIES))).contents
    assert contents.finished
    made = manifest.build(HEADER, contents)
    assert made.duration_ms == 18_000
    assert made.size == 11_700
    assert Manifest.decode(made.encode()) == made


def test_a_segment_listed_twice_counts_once() -> None:
    contents = Contents()
    for entry in (ENTRIES[1], ENTRIES[5], ENTRIES[5]):
        contents.apply(entry)
    assert len(contents.renditions["camera-f"].segments) == 1


def test_what_was_whole_when_a_segment_opened_is_remembered() -> None:
    contents = Contents()
    for entry in (ENTRIES[1], ENTRIES[5], Opened("camera-q", 1, 0, 0, 0), ENTRIES[7]):
        contents.apply(entry)
    assert contents.renditions["camera-q"].opened_at == 8.0
    contents.apply(Opened("camera-q", 1, 1, 0, 0))
    assert contents.renditions["camera-q"].opened_at == 18.0


def _made() -> dict[str, object]:
    contents = read_journal(b"".join(map(journal.encode, ENTRIES))).contents
    value: dict[str, object] = json.loads(manifest.build(HEADER, contents).encode())
    return value


@pytest.mark.parametrize(
    ("member", "value", "field"),
    [
        ("format", 2, "manifest.format"),
        ("lesson", "../etc", "manifest.lesson"),
        ("duration_ms", 17_999, "manifest.duration_ms"),
        ("bytes", 0, "manifest.bytes"),
        ("finished", 1, "manifest.finished"),
        ("renditions", {}, "manifest.renditions"),
        ("beat_ms", 0, "manifest.beat_ms"),
    ],
)
def test_a_manifest_with_a_wrong_member_is_refused(member: str, value: object, field: str) -> None:
    changed = _made() | {member: value}
    with pytest.raises(Refused) as caught:
        Manifest.decode(json.dumps(changed).encode())
    assert (caught.value.code, caught.value.field) == ("archive-malformed", field)


def test_a_manifest_whose_segments_disagree_is_refused() -> None:
    def changed(path: str, value: object) -> bytes:
        made = json.loads(json.dumps(_made()))
        made["renditions"][0]["segments"][1][path] = value
        return json.dumps(made).encode()

    for path, value in (
        ("start", 719_999),
        ("init", 1),
        ("beat", 0),
        ("digest", "zz"),
        ("frames", 0),
    ):
        with pytest.raises(Refused, match="malformed"):
            Manifest.decode(changed(path, value))


def _absurd(change: str) -> dict[str, object]:
    """A manifest whose sums agree, and that no lesson has."""
    made: dict[str, Any] = json.loads(json.dumps(_made()))
    rendition = made["renditions"][0]
    match change:
        case "epoch":
            made["epoch_ms"] = manifest.MAX_EPOCH_MS + 1
        case "length":
            rendition["segments"][-1]["start"] = 90_000 * manifest.MAX_SECONDS
            made["duration_ms"] = 1000 * (manifest.MAX_SECONDS + 8)
        case "beats":
            made["beat_ms"] = 1
            rendition["segments"][-1]["start"] = 90 * manifest.MAX_BEATS
            made["duration_ms"] = manifest.MAX_BEATS + 8_000
        case "segment":
            rendition["segments"][0]["bytes"] += manifest.MAX_SEGMENT_BYTES
            made["bytes"] += manifest.MAX_SEGMENT_BYTES
        case "init":
            rendition["inits"][0]["bytes"] += manifest.MAX_INIT_BYTES
            made["bytes"] += manifest.MAX_INIT_BYTES
        case "name":
            rendition["segments"][0]["beat"] = 10**9
        case "gaps":
            rendition["gaps"] *= manifest.MAX_ITEMS + 1
        case "codec":
            rendition["inits"][0]["codec"] = 'opus"\n#EXT-X-ENDLIST'
        case "future":
            made["format"] = 2
    return made


@pytest.mark.parametrize(
    "change",
    ["epoch", "length", "beats", "segment", "init", "name", "gaps", "codec", "future"],
)
def test_a_manifest_of_absurd_claims_is_refused(change: str) -> None:
    assert Manifest.decode(json.dumps(_absurd("")).encode())
    with pytest.raises(Refused):
        Manifest.decode(json.dumps(_absurd(change)).encode())


def test_a_manifest_without_end_is_refused_before_it_is_read() -> None:
    with pytest.raises(Refused, match="16 MiB"):
        Manifest.decode(b" " * (manifest.MAX_BYTES + 1))
    with pytest.raises(Refused):
        Manifest.decode(b"[" * 100_000)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(
        ["take", "init", "open", "segment", "gap", "anchor", "mark", "note", "finished"]
    ),
    st.dictionaries(
        st.sampled_from(["rendition", "places", "feed", "beat", "start", "end", "digest", "text"]),
        values,
    ),
)
def test_random_entries_raise_only_refused(kind: str, members: dict[str, object]) -> None:
    with contextlib.suppress(Refused):
        journal.decode(json.dumps({**members, "kind": kind}).encode())


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60) | values.map(lambda value: json.dumps(value).encode()))
def test_random_bytes_raise_only_refused(data: bytes) -> None:
    for decode in (journal.decode, Manifest.decode, Header.decode, Event.decode):
        with contextlib.suppress(Refused):
            decode(data)
    read_journal(data)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(sorted(_made())), values)
def test_random_members_of_a_manifest_raise_only_refused(member: str, value: object) -> None:
    with contextlib.suppress(Refused):
        Manifest.decode(json.dumps(_made() | {member: value}).encode())


def test_events_survive_their_line() -> None:
    event = Event(61_000, "source", {"source": "screen", "on": True})
    assert Event.decode(event.encode()) == event
    with pytest.raises(Refused):
        Event.decode(b'{"at_ms":-1,"kind":"source","body":{}}')


def test_names_are_made_and_recognised() -> None:
    assert [names.segment_name(7, 0), names.segment_name(7, 2)] == ["7.m4s", "7-2.m4s"]
    assert names.parse_segment("7-2.m4s") == (7, 2)
    for bad in ("07.m4s", "7-0.m4s", "-1.m4s", "7.m4s.part", "../7.m4s", "7.m4s\n", "٧.m4s"):
        assert names.parse_segment(bad) is None
    assert names.parse_init("init-12.mp4") == 12
    assert names.parse_init("init-012.mp4") is None
    assert names.rendition_name("camera", "f") == "camera-f"
    assert names.rendition_name("camera", "../..") == "camera"
    assert names.rendition_name("voice", "x") == "voice"
    for bad in ("", "..", "camera-", "camera-F", "slides", "voice-1", "camera-" + "x" * 17):
        assert not names.is_rendition(bad)


def test_the_golden_archive_reads_as_documented() -> None:
    header = Header.decode((GOLDEN / "lesson.json").read_bytes())
    reader = read_journal((GOLDEN / "journal.jsonl").read_bytes())
    assert not reader.damaged
    stored = (GOLDEN / "manifest.json").read_bytes()
    decoded = Manifest.decode(stored)
    assert decoded.encode() == stored
    assert manifest.build(header, reader.contents) == decoded
    files = 0
    for rendition in decoded.renditions:
        for init in rendition.inits:
            data = (GOLDEN / rendition.name / names.init_name(init.number)).read_bytes()
            assert (len(data), digest(data)) == (init.bytes, init.digest)
            files += 1
        for segment in rendition.segments:
            name = names.segment_name(segment.beat, segment.part)
            data = (GOLDEN / rendition.name / name).read_bytes()
            assert (len(data), digest(data)) == (segment.bytes, segment.digest)
            files += 1
    assert files == 12
    lines = (GOLDEN / "events.jsonl").read_bytes().splitlines()
    assert next(Event.decode(line).kind for line in lines) == "recording"
