"""A growing segment in parts: what a room that watches late is listed of it, and when.

Segments are those of the real recorder, written to disk; playing them is tests/live's.
"""

from __future__ import annotations

import asyncio
import re
import struct
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from classroom.archive.journal import Opened, encode
from classroom.archive.manifest import Manifest
from classroom.archive.names import GROWING, JOURNAL
from relay.cache.cache import Cache
from relay.record import hls, tail
from relay.record.lesson import LessonRecorder
from relay.record.store import LessonStore
from relay.web.archives import Archives, add_archive_routes
from relay.web.problems import boundary
from relay.web.tails import Tails, growing_file
from tests.fakes.rtp_media import lesson_records, numbered

LESSON = "toan-7"


def recorded(archives: Path, seconds: int) -> Archives:
    """A lesson of so many seconds that still runs."""
    store = LessonStore(archives, LESSON)
    recorder = LessonRecorder(LESSON, beat_ms=8_000, hold=2.0, stored=store.stored)
    for sequence, record in numbered(lesson_records(seconds, codec="h264", ended=False)):
        recorder.receive("feed", sequence, record)  # type: ignore[arg-type]  # no Hello in it
    store.commit(recorder.take_actions())
    store.close()
    return Archives(Cache(archives, archives.parent / "cache.json", root=True))


def listed(archives: Archives, name: str, *, parts: bool = True) -> str:
    manifest, growing = archives.cache.view(LESSON)
    text = archives.media(manifest, name, None, growing, parts=parts)
    assert text is not None
    return text


def ranges(text: str) -> list[tuple[str, int, int]]:
    """(file, offset, size) of each part."""
    found = re.findall(r'#EXT-X-PART:.*URI="([^"]+)",BYTERANGE="(\d+)@(\d+)"', text)
    return [(file, int(offset), int(size)) for file, size, offset in found]


def test_the_growing_segment_is_listed_in_parts_that_are_on_the_disk(tmp_path: Path) -> None:
    archives = recorded(tmp_path / "archives", 13)
    for name in ("voice", "camera"):
        text = listed(archives, name)
        assert "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES" in text
        grown = [one for one in ranges(text) if one[0] == f"{name}/1.m4s?tail=1"]
        file = growing_file(tmp_path / "archives" / LESSON, name, "1.m4s")
        assert file is not None
        assert len(grown) >= 3
        # One after the other, without a hole, each with a box of media at its beginning.
        data, at = file.read_bytes(), 0
        for _, offset, size in grown:
            assert offset == at
            assert b"moof" in data[offset : offset + 100]
            at += size
        assert at == tail.parts_of(data)[-1].offset + tail.parts_of(data)[-1].size
        # Those of the whole one before it stay, for who has some of them.
        whole = [one for one in ranges(text) if one[0] == f"{name}/0.m4s?tail=1"]
        size = (tmp_path / "archives" / LESSON / name / "0.m4s").stat().st_size
        assert sum(one[2] for one in whole) == size
        assert text.rstrip().splitlines()[-1].startswith("#EXT-X-PRELOAD-HINT")


def test_who_asks_for_no_parts_gets_none(tmp_path: Path) -> None:
    archives = recorded(tmp_path / "archives", 13)
    assert "PART" not in listed(archives, "voice", parts=False)


def test_parts_last_as_long_as_the_voice_says(tmp_path: Path) -> None:
    text = listed(recorded(tmp_path / "archives", 13), "voice")
    lengths = [float(one) for one in re.findall(r"PART:DURATION=([\d.]+)", text)]
    assert max(lengths) <= tail.PART_TARGET
    assert "INDEPENDENT=YES" in text


def test_what_grows_is_said_to_begin_with_its_beat_or_after_what_was_whole(tmp_path: Path) -> None:
    archives = recorded(tmp_path / "archives", 13)
    assert archives.cache.view(LESSON)[1] == {"voice": 8.0, "camera": 8.0}
    with (tmp_path / "archives" / LESSON / JOURNAL).open("ab") as file:
        file.write(encode(Opened("camera", 0, 0, 0, 0)))
    growing = archives.cache.view(LESSON)[1]
    assert 7.5 < growing["camera"] < 8.5


def test_a_segment_that_does_not_follow_at_once_waits_until_it_is_whole(tmp_path: Path) -> None:
    archives = recorded(tmp_path / "archives", 13)
    manifest, growing = archives.cache.view(LESSON)
    grows = Tails().growing(tmp_path / "archives" / LESSON, "voice")
    assert grows is not None
    for other in (
        tail.Tail(grows.name, grows.init + 1, grows.take, grows.parts),
        tail.Tail(grows.name, grows.init, grows.take + 1, grows.parts),
        tail.Tail(grows.name, grows.init, grows.take, grows.parts[1:]),
        tail.Tail(grows.name, grows.init, grows.take, ()),
    ):
        text = hls.media(manifest, "voice", None, growing=growing, tails=[other])
        assert text is not None
        assert ranges(text) == []
        # hls.js takes a whole segment at the very end for a growing one.
        assert text.rstrip().splitlines()[-1].startswith("#EXT-X-PRELOAD-HINT")


def test_torn_and_missing_files_are_no_tail(tmp_path: Path) -> None:
    recorded(tmp_path / "archives", 13)
    directory = tmp_path / "archives" / LESSON
    file = growing_file(directory, "voice", "1.m4s")
    assert file is not None
    whole = Tails().growing(directory, "voice")
    assert whole is not None
    file.write_bytes(file.read_bytes()[:-5])
    torn = Tails().growing(directory, "voice")
    assert torn is not None
    assert torn.parts == whole.parts[:-1]
    file.unlink()
    assert Tails().growing(directory, "voice") is None
    journal = directory / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-9] + b'{"kind":"open","rendition":"voice","be')
    assert Tails().growing(directory, "voice") is None
    journal.unlink()
    assert Tails().growing(directory, "voice") is None


def test_only_what_a_recorder_writes_is_served_before_it_is_whole(tmp_path: Path) -> None:
    archives = recorded(tmp_path / "archives", 13)
    directory = tmp_path / "archives" / LESSON
    assert archives.growing(LESSON, "voice", "1.m4s") is not None
    # What is being fetched has such a name, too.
    (directory / "voice" / f"7.m4s{GROWING}").write_bytes(b"unverified")
    for rendition, name in (
        ("voice", "7.m4s"),
        ("voice", "0.m4s"),
        ("voice", f"1.m4s{GROWING}"),
        ("voice", "../voice/1.m4s"),
        ("voice/../voice", "1.m4s"),
        ("..", "1.m4s"),
        ("screen", "1.m4s"),
    ):
        assert archives.growing(LESSON, rendition, name) is None
        assert growing_file(directory, rendition, name) is None


def test_a_player_waits_for_the_part_that_it_named() -> None:
    head = "#EXTM3U\n#EXTINF:8.0,\n0.m4s\n#EXT-X-PART:DURATION=1\n#EXT-X-PART:DURATION=1\n"
    text = head + "#EXTINF:8.0,\n1.m4s\n" + "#EXT-X-PART:DURATION=1\n" * 3
    assert [tail.is_listed(text, 2, part) for part in (None, 0, 2, 3)] == [False, True, True, False]
    assert [tail.is_listed(text, 1, part) for part in (None, 0, 99)] == [True, True, True]
    assert [tail.is_listed(text, 3, part) for part in (None, 0)] == [False, False]


def test_a_finished_lesson_has_no_parts(tmp_path: Path) -> None:
    archives = recorded(tmp_path / "archives", 13)
    manifest, _ = archives.cache.view(LESSON)
    done = Manifest(manifest.lesson, manifest.epoch_ms, manifest.beat_ms, True, manifest.renditions)
    assert "PART" not in str(archives.media(done, "voice", None, {}, parts=True))


async def test_over_http_a_list_comes_when_the_part_does_and_a_part_before_its_segment_is_whole(
    tmp_path: Path,
) -> None:
    archives = recorded(tmp_path / "archives", 13)

    async def anybody(request: web.Request, lesson: str) -> None:
        """May read."""

    app = web.Application(middlewares=[boundary])
    add_archive_routes(app, archives.cache, anybody)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        base = f"http://127.0.0.1:{runner.addresses[0][1]}/archives/{LESSON}"
        async with aiohttp.ClientSession(raise_for_status=True) as http:

            async def read(path: str, **headers: str) -> tuple[str, bytes]:
                async with http.get(f"{base}/{path}", headers=headers) as response:
                    return response.headers["Cache-Control"], await response.read()

            _, text = await read("voice.m3u8?tail=1")
            name, offset, size = ranges(text.decode())[-1]
            wanted = {"Range": f"bytes={offset}-{offset + size - 1}"}
            kept, part = await read(name, **wanted)
            assert (kept, len(part)) == ("no-store", size)
            # Nobody gets by its plain name what is not whole.
            with pytest.raises(aiohttp.ClientResponseError, match="404"):
                await read("voice/1.m4s", **wanted)
            sequence = text.count(b"#EXTINF:")
            number = sum(one[0] == name for one in ranges(text.decode()))
            waiting = asyncio.create_task(
                read(f"voice.m3u8?tail=1&_HLS_msn={sequence}&_HLS_part={number}")
            )
            done, _ = await asyncio.wait((waiting,), timeout=0.3)
            assert not done
            file = growing_file(tmp_path / "archives" / LESSON, "voice", "1.m4s")
            assert file is not None
            grown = _one_more(file.read_bytes())
            file.write_bytes(grown)
            _, longer = await waiting
            assert len(ranges(longer.decode())) == len(ranges(text.decode())) + 1
            for nonsense in ("_HLS_msn=x", "_HLS_msn=-1", "_HLS_part=1", f"_HLS_msn={10**30}x"):
                await read(f"voice.m3u8?tail=1&{nonsense}")
    finally:
        await runner.cleanup()


def _one_more(data: bytes) -> bytes:
    """A growing segment with its last fragment once more, as the one that follows."""
    last = tail.parts_of(data)[-1]
    again = bytearray(data[last.offset : last.offset + last.size])
    number = again.index(b"mfhd") + 8
    (count,) = struct.unpack_from("!I", again, number)
    struct.pack_into("!I", again, number, count + 1)
    time = again.index(b"tfdt") + 8
    (start,) = struct.unpack_from("!Q", again, time)
    struct.pack_into("!Q", again, time, start + last.end - last.start)
    return data[: last.offset + last.size] + bytes(again)
