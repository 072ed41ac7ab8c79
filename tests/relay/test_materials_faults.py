"""Materials and what may go wrong: sources that lie or stall, kills, disks that are full or rot."""

from __future__ import annotations

import asyncio
import errno
import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from relay.cache.files import Stamp, hash_file
from relay.cache.materials import MaterialStore
from relay.sync.allowance import Limits
from relay.sync.client import Rules
from relay.sync.materials import MaterialSync
from relay.sync.materials_link import RootLink
from relay.sync.materials_wanted import Wanted
from relay.sync.sources import Source
from relay.sync.turn import turn
from tests.eventually import eventually
from tests.fakes.materials import KB, coming, fill, sha, some_bytes, take
from tests.fakes.offering_relay import Handler, Mischief, Relay, School, token
from tests.relay.materials import files, school_of, whole


@pytest.fixture
async def parent(tmp_path: Path) -> AsyncIterator[Relay]:
    async with Relay(tmp_path / "parent").running() as relay:
        yield relay


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
        # One that has no end is not even read up to where its digest could be wrong.
        tag = "" if kind == "huge" else digest
        return web.Response(body=body, headers={"ETag": f'"{tag}"'})

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


async def test_a_file_too_long_for_its_list_is_rubbish(tmp_path: Path, parent: Relay) -> None:
    data = some_bytes(1)
    digest = fill(parent.materials, "toan-1", data)

    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse | None:
        if not request.path.endswith(sha(data)):
            return None
        headers = {"ETag": f'"{sha(data)}"', "Content-Range": "bytes 0-1/2"}
        return web.Response(status=206, body=data + data, headers=headers)

    parent.mischief = answer
    school = school_of(tmp_path, parent)
    school.tell(coming("toan-1", digest))
    async with school.fetching():
        await eventually(lambda: school.materials.counts["rubbish"] == 1)
        assert school.store.blobs.have(sha(data)) == ()


async def test_a_full_disk_is_nobodys_fault_and_tried_again(
    tmp_path: Path, parent: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.sync.client._DISK_SECONDS", 0.5)
    data = some_bytes(1)
    digest = fill(parent.materials, "toan-1", data)
    school = school_of(tmp_path, parent)
    school.tell(coming("toan-1", digest))
    real, full = os.pwrite, [True]

    def pwrite(descriptor: int, view: bytes, offset: int) -> int:
        if full[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, view, offset)

    monkeypatch.setattr(os, "pwrite", pwrite)
    async with school.fetching():
        await eventually(lambda: school.sync.refusal == "disk")
        assert school.sync.plan.standing(parent.url, time.monotonic()) == (0.0, 0, 0)
        full[0] = False
        await eventually(lambda: whole(school, "toan-1"))
    assert not school.sync.counts["bugs"]


async def test_a_killed_school_goes_on_where_it_was(tmp_path: Path, parent: Relay) -> None:
    data = some_bytes(1, 3000 * KB)
    digest = fill(parent.materials, "toan-1", data)
    script = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from relay.sync.allowance import Limits\n"
        "from relay.sync.client import Rules\n"
        "from tests.fakes import offering_relay\n"
        "from tests.fakes.materials import coming\n"
        "async def main() -> None:\n"
        "    offering_relay.token = lambda: sys.argv[4]\n"
        "    rules = Rules(Limits(rate=400_000))\n"
        "    school = offering_relay.School(Path(sys.argv[1]), [sys.argv[2]], rules)\n"
        "    school.sync._token = lambda: sys.argv[4]\n"
        "    school.tell(coming('toan-1', sys.argv[3]))\n"
        "    async with school.fetching():\n"
        "        await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    folder = tmp_path / "school"
    arguments = (str(folder), parent.url, digest, token())
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, *arguments)
    kept = folder / "materials" / "files" / f"{sha(data)}.have"
    await eventually(kept.exists)
    process.kill()
    await process.wait()
    school = School(folder, [parent.url])
    school.store.scan()
    have = sum(end - first for first, end in school.store.blobs.have(sha(data)))
    assert have > 100 * KB
    school.tell(coming("toan-1", digest))
    async with school.fetching():
        await eventually(lambda: whole(school, "toan-1"))
    assert school.sync.counts["material_bytes"] == len(data) - have
    path = school.store.find(sha(data))
    assert path is not None
    assert path.read_bytes() == data


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


@pytest.mark.parametrize("how", ["dropped", "spoilt"])
async def test_what_an_import_did_to_a_file_that_grows_is_no_sources_fault(
    tmp_path: Path, parent: Relay, how: str
) -> None:
    data = some_bytes(1, 1500 * KB)
    digest = fill(parent.materials, "toan-1", data)
    school = school_of(tmp_path, parent, rules=Rules(Limits(rate=800 * KB)))
    school.tell(coming("toan-1", digest))

    def bring_in() -> None:
        with turn(tmp_path / "school"):
            other = MaterialStore(tmp_path / "school" / "materials")
            other.scan()
            first, end = other.blobs.have(sha(data))[0]
            if how == "dropped":
                other.blobs.drop(sha(data))
            else:
                other.blobs.write(sha(data), first, bytes(end - first))

    async with school.fetching():
        await eventually(lambda: school.sync.counts["material_bytes"] > 300 * KB)
        await asyncio.to_thread(bring_in)
        await eventually(lambda: whole(school, "toan-1"))
        assert school.materials.counts["rubbish"] == (how == "spoilt")
        assert school.sync.plan.standing(parent.url, time.monotonic()) == (0.0, 0, 0)
    assert school.store.find(sha(data)) is not None
    assert not school.sync.counts["bugs"]


async def test_the_store_is_not_looked_at_anew_while_what_was_cut_is_written_down(
    tmp_path: Path, parent: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = some_bytes(1)
    digest = fill(parent.materials, "toan-1", data)
    store = MaterialStore(tmp_path / "root" / "materials")
    wanted = Wanted(store, tmp_path / "none", list, lambda lesson: False)
    link = RootLink(parent.url, tmp_path / "root", token)
    root = MaterialSync(store, wanted, link)
    wanted.tell([coming("toan-1", digest)])
    refusal, keeping, may_keep, scans = [""], threading.Event(), threading.Event(), [0]
    keep, scan = store.blobs.keep, store.scan

    def slow(digest: str) -> None:
        keeping.set()
        may_keep.wait(10.0)
        keep(digest)

    def counted() -> None:
        scans[0] += 1
        scan()

    monkeypatch.setattr(link, "look", lambda: refusal[0])
    monkeypatch.setattr(store.blobs, "keep", slow)
    monkeypatch.setattr(store, "scan", counted)
    async with aiohttp.ClientSession() as http, asyncio.TaskGroup() as tasks:
        link.sources = [Source(parent.url, http, token, near=True)]
        while not keeping.is_set():
            await root.fill(tasks)
            await asyncio.sleep(0.002)
        # Somebody wishes to import, and thinks better of it at once.
        for refusal[0] in ("import", ""):
            await root.fill(tasks)
        assert scans == [1]
        may_keep.set()
        await eventually(lambda: not root.is_busy)
        await root.fill(tasks)
        assert scans == [2]
        await eventually(lambda: not root.is_busy)
    assert not link.counts["bugs"]


def all_came_before(tmp_path: Path, parent: Relay, data: bytes) -> None:
    """The school was stopped when all of a file of `toan-1` had come, before it was looked at."""
    begun = School(tmp_path / "school", [parent.url])
    begun.store.scan()
    take(begun.store, "toan-1", data)
    begun.store.begin(begun.store.missing("toan-1")[0])
    begun.store.blobs.write(sha(data), 0, data)
    begun.store.blobs.keep(sha(data))
    begun.cache.close()


async def test_all_that_came_is_only_looked_at_after_a_restart(
    tmp_path: Path, parent: Relay
) -> None:
    data = some_bytes(1)
    digest = fill(parent.materials, "toan-1", data)
    all_came_before(tmp_path, parent, data)
    school = school_of(tmp_path, parent)
    school.tell(coming("toan-1", digest))
    async with school.fetching():
        await eventually(lambda: whole(school, "toan-1"))
    assert files(parent) == []


def spoil(monkeypatch: pytest.MonkeyPatch, is_spoilt: Callable[[Path], bool]) -> None:
    """The disk gives these back no more: reading fails with EIO."""

    def read(path: Path | str) -> tuple[Stamp, str] | None:
        if is_spoilt(Path(path)):
            raise OSError(errno.EIO, "Input/output error")
        return hash_file(path)

    monkeypatch.setattr("relay.cache.blobs.hash_file", read)


async def test_what_came_and_cannot_be_read_back_comes_again_and_stops_nothing_else(
    tmp_path: Path, parent: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = some_bytes(1)
    digest = fill(parent.materials, "toan-1", data)
    all_came_before(tmp_path, parent, data)
    # One sector of it: whatever is written anew stands elsewhere.
    sector = tmp_path / "sector"
    os.link(tmp_path / "school" / "materials" / "files" / f"{sha(data)}.fetch", sector)
    spoil(monkeypatch, lambda path: path.suffix == ".fetch" and path.samefile(sector))
    school = school_of(tmp_path, parent)
    school.tell(coming("toan-1", digest))
    async with school.fetching():
        await eventually(lambda: whole(school, "toan-1"))
        assert school.sync.plan.standing(parent.url, time.monotonic()) == (0.0, 0, 0)
    assert school.sync.counts["material_bytes"] == len(data)


async def test_what_can_never_be_read_back_is_not_fetched_for_ever(
    tmp_path: Path, parent: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = some_bytes(1), some_bytes(2)
    digest = fill(parent.materials, "toan-1", one, two)
    spoil(monkeypatch, lambda path: path.stem == sha(one) and path.suffix == ".fetch")
    school = school_of(tmp_path, parent)
    school.tell(coming("toan-1", digest))
    async with school.fetching():
        await eventually(lambda: school.store.blobs.has(sha(two)))
        await eventually(lambda: files(parent).count(sha(one)) == 3)
        await asyncio.sleep(1.2)
        assert files(parent).count(sha(one)) == 3
        assert school.sync.plan.standing(parent.url, time.monotonic()) == (0.0, 0, 0)
        assert school.materials.counts["rubbish"] == 0
    assert not school.sync.counts["bugs"]


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


async def test_the_next_lessons_have_the_room_and_that_others_have_none_is_said_once(
    tmp_path: Path, parent: Relay, caplog: pytest.LogCaptureFixture
) -> None:
    now = time.time()
    dates = {"far": 30 * 86_400.0, "soon": 3600.0, "sooner": 1800.0}
    told = {
        name: coming(name, fill(parent.materials, name, some_bytes(seed)), now + in_s)
        for seed, (name, in_s) in enumerate(dates.items())
    }
    school = school_of(tmp_path, parent, materials_bytes=250 * KB)
    school.tell(told["far"])
    async with school.fetching():
        await eventually(lambda: whole(school, "far"))
        school.tell(*told.values())
        await eventually(lambda: whole(school, "soon") and whole(school, "sooner"))
        progress = school.materials.wanted.progress
        await eventually(lambda: progress()["lessons_without_room"] == 1)
        # A page waits for it, and asks again and again; it comes after the others all the same.
        for _ in range(3):
            school.materials.ask("far", sha(some_bytes(0)))
            await asyncio.sleep(0.3)
        assert progress()["files_without_room"] == 1
        assert whole(school, "soon")
        assert whole(school, "sooner")
    said = [one for one in caplog.records if one.message == "materials-no-room"]
    assert len(said) == 1
    assert school.store.counters()["evicted"] == 1
