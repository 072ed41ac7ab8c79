"""Materials brought over HTTP from a relay that has them, by the sync that has the link."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from relay.sync.allowance import Limits, spans_of
from relay.sync.client import Rules
from tests.eventually import eventually
from tests.fakes.archives import make
from tests.fakes.materials import KB, bring, coming, fill, sha, some_bytes, take
from tests.fakes.offering_relay import Handler, Mischief, Relay, School

HOUR = 3600.0


@pytest.fixture
async def parent(tmp_path: Path) -> AsyncIterator[Relay]:
    async with Relay(tmp_path / "parent").running() as relay:
        yield relay


def school_of(tmp_path: Path, *parents: Relay, **more: object) -> School:
    urls = [one.url for one in parents]
    return School(tmp_path / "school", urls, **more)  # type: ignore[arg-type]


def files(relay: Relay) -> list[str]:
    """Digests of files that it was asked for, in order."""
    return [path.rpartition("/")[2] for path in relay.asked if "/materials/" in path]


def whole(school: School, lesson: str) -> bool:
    return school.store.held(lesson) is not None and not school.store.missing(lesson)


async def test_lists_and_files_of_lessons_to_come_are_here_soonest_first(
    tmp_path: Path, parent: Relay
) -> None:
    one, two, three = some_bytes(1), some_bytes(2, 700 * KB), some_bytes(3)
    later = fill(parent.materials, "ly-1", three, two)
    sooner = fill(parent.materials, "toan-1", one, two)
    school = school_of(tmp_path, parent)
    now = time.time()
    school.tell(coming("ly-1", later, now + 48 * HOUR), coming("toan-1", sooner, now + 24 * HOUR))
    async with school.fetching():
        await eventually(lambda: whole(school, "ly-1") and whole(school, "toan-1"))
        path = school.store.find(sha(two))
        assert path is not None
        assert path.read_bytes() == two
        all_here = {"lessons": 2, "whole": 2, "lists_left": 0, "files_left": 0, "bytes_left": 0}
        await eventually(lambda: school.materials.wanted.progress() == all_here)
    asked = files(parent)
    assert asked[0] == sha(one)
    assert asked[-1] == sha(three)
    # Each byte crossed the link once.
    size = len(one) + len(two) + len(three)
    assert size < school.sync.counts["material_bytes"] < size + 2 * KB
    assert not school.sync.counts["bugs"]


async def test_a_new_list_brings_only_what_changed_and_none_removes_all(
    tmp_path: Path, parent: Relay
) -> None:
    one, two = some_bytes(1), some_bytes(2)
    school = school_of(tmp_path, parent)
    school.tell(coming("toan-1", fill(parent.materials, "toan-1", one)))
    async with school.fetching():
        await eventually(lambda: whole(school, "toan-1"))
        parent.asked.clear()
        school.tell(coming("toan-1", fill(parent.materials, "toan-1", one, two)))
        await eventually(lambda: school.store.blobs.has(sha(two)))
        assert set(files(parent)) == {sha(two)}
        school.tell(coming("toan-1", None))
        await eventually(lambda: school.store.held("toan-1") is None)
        assert os.listdir(tmp_path / "school" / "materials" / "files") == []


async def test_what_came_before_a_kill_is_not_asked_for_again(
    tmp_path: Path, parent: Relay
) -> None:
    data = some_bytes(1, 3000 * KB)
    digest = fill(parent.materials, "toan-1", data)
    begun = School(tmp_path / "school", [parent.url])
    begun.store.scan()
    take(begun.store, "toan-1", data)
    begun.store.begin(begun.store.missing("toan-1")[0])
    begun.store.blobs.write(sha(data), 0, data[: 2000 * KB])
    begun.store.blobs.write(sha(data), 2500 * KB, data[2500 * KB :])
    begun.store.blobs.keep(sha(data))
    begun.cache.close()
    school = school_of(tmp_path, parent)
    school.tell(coming("toan-1", digest))
    async with school.fetching():
        await eventually(lambda: whole(school, "toan-1"))
    assert school.sync.counts["material_bytes"] == 500 * KB
    path = school.store.find(sha(data))
    assert path is not None
    assert path.read_bytes() == data


async def test_all_that_came_is_only_looked_at_after_a_restart(
    tmp_path: Path, parent: Relay
) -> None:
    data = some_bytes(1)
    digest = fill(parent.materials, "toan-1", data)
    begun = School(tmp_path / "school", [parent.url])
    begun.store.scan()
    take(begun.store, "toan-1", data)
    begun.store.begin(begun.store.missing("toan-1")[0])
    begun.store.blobs.write(sha(data), 0, data)
    begun.store.blobs.keep(sha(data))
    begun.cache.close()
    school = school_of(tmp_path, parent)
    school.tell(coming("toan-1", digest))
    async with school.fetching():
        await eventually(lambda: whole(school, "toan-1"))
    assert files(parent) == []


def instead(wrong: bytes, digest: str) -> Mischief:
    """Other bytes, of the right length, under a file's digest."""

    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse | None:
        if not request.path.endswith(digest):
            return None
        span = request.http_range
        headers = {"ETag": f'"{digest}"', "Content-Range": "bytes 0-1/2"}
        return web.Response(status=206, body=wrong[span.start : span.stop], headers=headers)

    return answer


async def test_other_bytes_are_refused_and_another_source_is_asked(tmp_path: Path) -> None:
    data = some_bytes(1)
    liar, honest = Relay(tmp_path / "liar"), Relay(tmp_path / "honest")
    for one in (liar, honest):
        digest = fill(one.materials, "toan-1", data)
    liar.mischief = instead(bytes(len(data)), sha(data))
    async with liar.running(), honest.running():
        school = school_of(tmp_path, liar, honest)
        school.tell(coming("toan-1", digest))
        async with school.fetching():
            await eventually(lambda: whole(school, "toan-1"))
        left_alone, _, rubbish = school.sync.plan.standing(liar.url, time.monotonic())
        assert rubbish == 1
        assert left_alone > 30.0
        assert school.materials.counts["rubbish"] == 1
        path = school.store.find(sha(data))
        assert path is not None
        assert path.read_bytes() == data


@pytest.mark.parametrize("kind", ["huge", "other", "not-json"])
async def test_a_list_that_lies_is_refused(tmp_path: Path, kind: str) -> None:
    relay = Relay(tmp_path / "parent")
    digest = fill(relay.materials, "toan-1", some_bytes(1))

    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse | None:
        if not request.path.endswith("/materials"):
            return None
        body = {"huge": b"[" * 200_000, "other": b"{}\n", "not-json": b"?"}[kind]
        return web.Response(body=body, headers={"ETag": f'"{digest}"'})

    relay.mischief = answer
    async with relay.running():
        school = school_of(tmp_path, relay)
        school.tell(coming("toan-1", digest))
        async with school.fetching():
            await eventually(lambda: school.materials.counts["rubbish"] == 1)
            assert school.store.held("toan-1") is None
            await asyncio.sleep(1.2)
            # Left alone for a while, and not asked each second.
            assert len([p for p in relay.asked if p.endswith("/materials")]) == 1
            assert not school.sync.counts["bugs"]


async def test_a_list_whose_digest_is_right_and_that_is_wrong_is_given_up(
    tmp_path: Path, parent: Relay
) -> None:
    wrong = b'{"format":1,"lesson":"toan-1","materials":[{"name":"a.exe"}]}\n'

    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse | None:
        if not request.path.endswith("/materials"):
            return None
        return web.Response(body=wrong, headers={"ETag": f'"{sha(wrong)}"'})

    parent.mischief = answer
    school = school_of(tmp_path, parent)
    school.tell(coming("toan-1", sha(wrong)))
    async with school.fetching():
        await eventually(lambda: school.materials.counts["rubbish"] == 1)
        assert school.sync.plan.standing(parent.url, time.monotonic())[2] == 0


async def test_what_the_parent_brings_itself_is_asked_for_again_soon(
    tmp_path: Path, parent: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.sync.materials._AGAIN_S", 0.3)
    data = some_bytes(1)
    digest = take(parent.materials, "toan-1", data)
    school = school_of(tmp_path, parent)
    school.tell(coming("toan-1", digest))
    async with school.fetching():
        await eventually(lambda: bool(files(parent)))
        bring(parent.materials, data)
        await eventually(lambda: whole(school, "toan-1"))
        # It is neither away nor rubbish, and what is not waited for takes its turn there.
        assert school.sync.plan.standing(parent.url, time.monotonic()) == (0.0, 0, 0)
        assert parent.waited == []


async def test_who_waits_here_waits_there(tmp_path: Path, parent: Relay) -> None:
    digest = take(parent.materials, "toan-1", some_bytes(1))
    school = school_of(tmp_path, parent)
    school.tell(coming("toan-1", digest))
    async with school.fetching():
        school.materials.ask("toan-1", sha(some_bytes(1)))
        await eventually(lambda: parent.waited == [("toan-1", sha(some_bytes(1)))])


async def test_a_lesson_that_begins_has_the_link_at_once(tmp_path: Path, parent: Relay) -> None:
    data = some_bytes(1, 4000 * KB)
    digest = fill(parent.materials, "toan-1", data)
    limits = Limits(rate=200 * KB)
    school = school_of(tmp_path, parent, rules=Rules(limits))
    school.tell(coming("toan-1", digest))
    async with school.fetching():
        await eventually(lambda: school.sync.counts["material_bytes"] > 100 * KB)
        school.live = True
        school.sync.lessons_changed()
        await eventually(lambda: not school.materials.is_busy)
        before = school.sync.counts["material_bytes"]
        await asyncio.sleep(1.5)
        assert school.sync.counts["material_bytes"] == before
        # What came is on the disk, and is gone on with.
        have = school.store.blobs.have(sha(data))
        assert sum(end - first for first, end in have) >= before - 70 * KB
        school.live = False
        school.sync.lessons_changed()
        await eventually(lambda: school.sync.counts["material_bytes"] > before)
        assert school.sync.plan.standing(parent.url, time.monotonic())[1] == 0


async def test_windows_hold_but_for_what_is_needed_within_hours(
    tmp_path: Path, parent: Relay
) -> None:
    soon = fill(parent.materials, "toan-1", some_bytes(1))
    later = fill(parent.materials, "ly-1", some_bytes(2))
    date = 1_780_000_000.0
    day = time.localtime(date)
    shut = (day.tm_hour + 6) % 24
    windows = spans_of([f"{shut:02}:00-{(shut + 1) % 24:02}:00"])
    school = school_of(tmp_path, parent, rules=Rules(Limits(windows)), date=lambda: date)
    school.sync.time.told(date)
    parent.mischief = no_date
    school.tell(coming("toan-1", soon, date + 2 * HOUR), coming("ly-1", later, date + 9 * HOUR))
    async with school.fetching():
        await eventually(lambda: whole(school, "toan-1"))
        await asyncio.sleep(1.2)
        assert school.store.held("ly-1") is None
        # Unless somebody opens it now.
        school.materials.ask("ly-1", "")
        await eventually(lambda: school.store.held("ly-1") is not None)
        school.materials.ask("ly-1", sha(some_bytes(2)))
        await eventually(lambda: whole(school, "ly-1"))
        assert school.sync.refusal == "window"


async def no_date(request: web.Request, handler: Handler) -> web.StreamResponse | None:
    """A parent whose clock nobody hears of."""
    if request.path == "/api/offers/ping":
        return web.Response(status=204, headers={"Date": "never"})
    return None


async def test_coming_materials_come_before_recordings(tmp_path: Path, parent: Relay) -> None:
    make("van-1").write(parent.archives)
    digest = fill(parent.materials, "toan-1", some_bytes(1, 600 * KB))
    school = school_of(tmp_path, parent, rules=Rules(Limits(rate=400 * KB)))
    school.tell(coming("toan-1", digest))
    async with school.fetching():
        await eventually(lambda: school.settled("van-1"))
    paths = [p for p in parent.asked if "/bytes" in p or "/materials/" in p]
    assert "/materials/" in paths[0]
    last = max(place for place, path in enumerate(paths) if "/materials/" in path)
    assert not any("/bytes" in path for path in paths[:last])


async def test_a_source_that_stalls_holds_up_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.sync.sources.STALL_SECONDS", 0.3)
    data = some_bytes(1)
    slow, quick = Relay(tmp_path / "slow"), Relay(tmp_path / "quick")
    for one in (slow, quick):
        digest = fill(one.materials, "toan-1", data)

    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse | None:
        if not request.path.endswith(sha(data)):
            return None
        headers = {"ETag": f'"{sha(data)}"', "Content-Range": "bytes 0-1/2"}
        response = web.StreamResponse(status=206, headers=headers)
        response.content_length = len(data)
        await response.prepare(request)
        await response.write(data[: 10 * KB])
        await asyncio.sleep(3.0)
        return response

    slow.mischief = answer
    async with slow.running(), quick.running():
        school = school_of(tmp_path, slow, quick)
        school.tell(coming("toan-1", digest))
        async with school.fetching():
            await eventually(lambda: whole(school, "toan-1"))
            path = school.store.find(sha(data))
            assert path is not None
            assert path.read_bytes() == data


async def test_without_room_what_is_longest_past_goes_and_no_more(
    tmp_path: Path, parent: Relay
) -> None:
    digest = fill(parent.materials, "moi", some_bytes(1))
    huge = fill(parent.materials, "lon", some_bytes(4, 400 * KB))
    school = school_of(tmp_path, parent, materials_bytes=250 * KB)
    school.store.scan()
    fill(school.store, "cu-nhat", some_bytes(2), at=1.0)
    fill(school.store, "cu-nhi", some_bytes(3), at=2.0)
    school.tell(coming("moi", digest), coming("lon", huge))
    async with school.fetching():
        await eventually(lambda: whole(school, "moi"))
        assert school.store.lessons() == ["cu-nhi", "lon", "moi"]
        await eventually(lambda: school.materials.wanted.progress()["files_left"] == 1)
    assert school.store.counters()["evicted"] == 1


async def test_materials_of_recordings_come_with_them(tmp_path: Path, parent: Relay) -> None:
    data = some_bytes(1)
    digest = fill(parent.materials, "van-1", data)
    make("van-1").write(parent.archives)
    about = f'{{"title": "Văn", "materials": "{digest}"}}'
    (parent.archives / "van-1" / "about.json").write_text(about)
    school = school_of(tmp_path, parent)
    async with school.fetching():
        await eventually(lambda: whole(school, "van-1"))
        await eventually(lambda: school.settled("van-1"))


async def test_what_rots_comes_again_alone(tmp_path: Path, parent: Relay) -> None:
    one, two = some_bytes(1), some_bytes(2)
    digest = fill(parent.materials, "toan-1", one, two)
    begun = School(tmp_path / "school", [parent.url])
    begun.store.scan()
    fill(begun.store, "toan-1", one, two)
    begun.cache.close()
    (tmp_path / "school" / "materials" / "files" / sha(two)).write_bytes(bytes(len(two)))
    school = school_of(tmp_path, parent)
    school.tell(coming("toan-1", digest))
    async with school.fetching():
        # Nobody opened it: it is looked at before the class does.
        await eventually(lambda: school.store.counters()["rotten"] == 1)
        await eventually(lambda: whole(school, "toan-1"))
    assert set(files(parent)) == {sha(two)}
