"""A recording below another relay: it waits to be told, and then has the bytes of the one above.

The real recorder with its files, fed over a pipe of the same records; what reaches it of a lesson,
and when it is told, is the test's. Not here: the link between two relays (test_identical_archives).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgpack
import pytest

from classroom.archive.contents import Contents, Header, read_journal
from classroom.archive.journal import Take
from classroom.errors import Refused
from relay.record.awaited import GRACE, PATIENCE, Awaited, anchors_first
from relay.record.feed import End, Hello, LessonEnd, Packet, Record, Sync, Track, encode
from relay.record.recorder import Recorder
from relay.record.recording import RecorderSettings, below
from relay.record.told import OWN_NUMBERS, InitName, Told
from tests.fakes.rtp_media import EPOCH, lesson_records, track

LESSON = "toan-7"
TAKES = (Take(0, "5f3a", 0, 0), Take(1, "5f3a", 3, 250))
TOLD = Told(1_760_000_000_123, 4_000, TAKES, (InitName("voice", 0, "ab" * 32),))
FAST = RecorderSettings(beat_ms=4_000, commit_interval=0.005)


class Nothing:
    """A feed's socket in the direction that does not matter here."""

    def write(self, data: bytes) -> None:
        """Acknowledgements."""


async def feed(recorder: Recorder, name: str, records: Sequence[Record]) -> None:
    """One connection of a media process that tells all of this."""
    reader = asyncio.StreamReader()
    reader.feed_data(encode(0, Hello(name)))
    for sequence, record in enumerate(records, 1):
        reader.feed_data(encode(sequence, record))
    reader.feed_eof()
    await recorder.run(reader, Nothing())  # type: ignore[arg-type] # all that is used of a writer


async def record(
    archives: Path,
    name: str,
    records: Sequence[Record],
    told: Told | None,
    *,
    patience: float = 9.0,
) -> Recorder:
    settings = FAST if told is None and name == "root" else replace(below(FAST), patience=patience)
    recorder = Recorder(archives, settings=settings)
    if told is not None:
        recorder.tell(LESSON, told)
    await feed(recorder, name, [*records, LessonEnd(LESSON)])
    await recorder.close()
    return recorder


def from_above(records: Sequence[Record], *, first: int = 40) -> list[Record]:
    """The same lesson as a child's media process tells it: its own numbers of tracks, the names of
    the root, another order of tracks."""
    told: list[Record] = []
    for one in records:
        if isinstance(one, Track):
            told.append(replace(one, track=one.track + first, origin="root"))
        elif isinstance(one, Packet | Sync | End):
            told.append(replace(one, track=one.track + first))
    return [told[1], told[0], *told[2:]]


def files(archives: Path) -> dict[str, bytes]:
    root = archives / LESSON
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*.m*"))}


def contents(archives: Path) -> Contents:
    return read_journal((archives / LESSON / "journal.jsonl").read_bytes()).contents


def header(archives: Path) -> Header:
    return Header.decode((archives / LESSON / "lesson.json").read_bytes())


async def test_what_is_told_makes_the_same_bytes(tmp_path: Path) -> None:
    records = lesson_records(12, codec="vp9", rid="q")
    root = await record(tmp_path / "root", "root", records, None)
    told = root.told(LESSON)
    assert told is not None
    later = Told.decode(msgpack.unpackb(msgpack.packb(told.encode())))
    assert later == told
    await record(tmp_path / "child", "child", from_above(records), later)
    assert header(tmp_path / "child") == header(tmp_path / "root")
    assert len(files(tmp_path / "root")) == 2 * 3 + 2
    assert files(tmp_path / "child") == files(tmp_path / "root")
    assert contents(tmp_path / "child").takes == contents(tmp_path / "root").takes
    assert (tmp_path / "root" / LESSON / "manifest.json").exists()
    assert not (tmp_path / "child" / LESSON / "manifest.json").exists(), "it comes from above"


async def test_a_relay_that_is_told_late_waits_and_loses_nothing(tmp_path: Path) -> None:
    records = lesson_records(12, codec="vp9", rid="q")
    root = await record(tmp_path / "root", "root", records, None)
    told = root.told(LESSON)
    assert told is not None
    recorder = Recorder(tmp_path / "child", settings=below(FAST))
    connection = asyncio.create_task(feed(recorder, "child", from_above(records)))
    await connection
    assert not (tmp_path / "child" / LESSON).exists()
    recorder.tell(LESSON, told)
    recorder._accept(len(records) + 1, LessonEnd(LESSON))
    await recorder.close()
    assert files(tmp_path / "child") == files(tmp_path / "root")


async def test_a_relay_that_is_never_told_records_all_the_same(tmp_path: Path) -> None:
    records = from_above(lesson_records(6, codec="vp9"))
    await record(tmp_path, "child", records, None, patience=0.0)
    found = contents(tmp_path)
    assert found.seconds == pytest.approx(6.0, abs=0.1)
    assert header(tmp_path).epoch_ms == round(EPOCH * 1000)
    # What it numbered itself is never mistaken for the root's.
    numbers = {init.number for one in found.renditions.values() for init in one.inits}
    assert min(numbers) >= OWN_NUMBERS
    assert found.takes == [Take(OWN_NUMBERS, "root", 0, 0)]


async def test_what_must_be_transcoded_is_left_to_the_root(tmp_path: Path) -> None:
    records: list[Record] = [
        Track(1, LESSON, "camera", None, "vp8", 90_000, None, {}, 96, None, {}, 0, "root"),
        Sync(1, 0, EPOCH),
    ]
    await record(tmp_path, "child", records, TOLD, patience=0.0)
    assert not (tmp_path / LESSON).exists()


async def test_a_relay_hands_on_what_it_was_told(tmp_path: Path) -> None:
    heard: list[tuple[str, Told]] = []
    recorder = Recorder(
        tmp_path, settings=below(FAST), on_told=lambda lesson, told: heard.append((lesson, told))
    )
    recorder.tell(LESSON, TOLD)
    recorder.tell(LESSON, TOLD)
    assert heard == [(LESSON, TOLD)]
    assert recorder.told(LESSON) == TOLD
    await recorder.close()


async def test_relays_below_are_told_of_each_change(tmp_path: Path) -> None:
    heard: list[Told] = []
    recorder = Recorder(tmp_path, settings=FAST, on_told=lambda lesson, told: heard.append(told))
    await feed(recorder, "root", lesson_records(2, codec="vp9"))
    await feed(recorder, "root", [*lesson_records(2, codec="vp9")])
    later: list[Record] = [replace(track(9, "screen", "vp9"), epoch=1), Sync(9, 0, EPOCH + 100.0)]
    await feed(recorder, "again", later)
    await recorder.close()
    assert [len(told.takes) for told in heard][-1] == 2
    assert {init.rendition for init in heard[-1].inits} == {"camera", "voice"}
    assert len(heard) == len(set(map(repr, heard))), "nothing is told twice"


def voice_of(number: int, epoch: int) -> Track:
    return Track(number, LESSON, "voice", None, "opus", 48_000, 2, {}, 111, 63, {}, epoch, "5f3a")


def test_a_recording_waits_for_what_it_lacks_and_no_longer() -> None:
    awaited = Awaited()
    assert awaited.is_waiting(0.0)
    awaited.tell(TOLD)
    assert not awaited.is_waiting(1.0)
    awaited.receive(voice_of(1, 3), 2.0)
    assert not awaited.is_waiting(2.0)
    awaited.receive(voice_of(2, 4), 3.0)
    assert awaited.is_waiting(3.0)
    assert awaited.is_waiting(2.9 + PATIENCE)
    assert not awaited.is_waiting(3.0 + PATIENCE)
    awaited.receive(End(2, "left"), 50.0)
    assert not awaited.is_waiting(50.0)


def test_after_an_outage_a_recording_waits_for_the_line_and_for_all_that_it_says() -> None:
    awaited = Awaited()
    awaited.tell(TOLD)
    awaited.lose()
    last = Packet(1, 0.0, b"of before the outage")
    awaited.receive(last, 60.0)
    assert awaited.is_waiting(60.0)
    assert not awaited.is_waiting(61.0 + PATIENCE)
    awaited.receive(last, 400.0)
    assert awaited.is_waiting(400.0), "media is back, and so will the line be"
    awaited.tell(TOLD)
    assert awaited.is_waiting(401.0), "more is about to be said"
    assert not awaited.is_waiting(401.0 + GRACE)


def test_anchors_that_were_told_late_come_before_the_packets_that_were_held() -> None:
    packets = [(number, Packet(1, 0.0, b"")) for number in (1, 4)]
    voice, ends = voice_of(2, 3), End(1, "left")
    held: list[tuple[int, Track | Packet | Sync | End | LessonEnd]] = [
        packets[0],
        (2, Sync(1, 0, 1.0, 0)),
        (3, voice),
        packets[1],
        (5, Packet(2, 0.0, b"")),
        (6, ends),
        (7, Sync(2, 0, 1.0)),
        (8, Sync(2, 9, 2.0, 9)),
    ]
    assert [sequence for sequence, _ in anchors_first(held)] == [2, 1, 3, 7, 8, 4, 5, 6]


@pytest.mark.parametrize(
    "change",
    [
        {"epoch_ms": -1},
        {"epoch_ms": 1.5},
        {"epoch_ms": True},
        {"beat_ms": 0},
        {"beat_ms": 10**9},
        {"takes": None},
        {"takes": [[0, "a", 0, 0]] * 17},
        {"takes": [[0, "a", 0]]},
        {"takes": [[0, "", 0, 0]]},
        {"takes": [[0, "a", -1, 0]]},
        {"takes": [[0, 7, 1, 0]]},
        {"inits": [["voice", 0, "AB" * 32]]},
        {"inits": [["../voice", 0, "ab" * 32]]},
        {"inits": [["voice", OWN_NUMBERS, "ab" * 32]]},
        {"inits": [["voice", 0, "ab" * 32]] * 65},
        {"inits": "voice"},
    ],
)
def test_what_no_relay_tells_is_refused(change: dict[str, object]) -> None:
    assert Told.decode(TOLD.encode()) == TOLD
    with pytest.raises(Refused) as refused:
        Told.decode(TOLD.encode() | change)
    assert refused.value.code == "trunk-malformed"
    with pytest.raises(Refused):
        Told.decode([])
