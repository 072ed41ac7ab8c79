"""What a teacher adds or takes back after a lesson: at every relay that keeps the lesson.

Real lines and requests between relays without media. In the last story the control plane is real,
too; before that the test says what it would tell.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from functools import partial
from pathlib import Path

import pytest

from classroom.store import load_or_create_key
from classroom.tokens import Role, Signer
from classroom.wire import MAX_LISTS, ListChange, RelayArchive
from relay.sync import materials
from relay.sync.about import keep_about
from relay.sync.client import Rules
from relay.web.late_lists import LateLists
from tests.eventually import eventually
from tests.fakes.keeping_relay import KeepingRelay
from tests.fakes.materials import fill, list_of, sha, some_bytes, take
from tests.fakes.relay_tree import TreeRelay, hurry, lesson
from tests.live import central as live

ONE, TWO = some_bytes(1), some_bytes(2)
LESSON = "toan-7"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)
    monkeypatch.setattr(materials, "_AGAIN_S", 0.1)


def change(name: str, at: float, *files: bytes) -> ListChange:
    return ListChange(name, sha(list_of(name, *files)) if files else None, at)


def listed(relay: KeepingRelay) -> list[str]:
    """Digests of the files in the list that is here."""
    held = relay.materials.store.held(LESSON)
    return [one.digest for one in held.materials.materials] if held is not None else []


def gone(relay: KeepingRelay, data: bytes) -> bool:
    return not relay.materials.store.blobs.has(sha(data))


# What is known.


def test_the_later_change_counts_in_whatever_order_they_are_heard(tmp_path: Path) -> None:
    late, heard = LateLists(tmp_path / "late.json"), list[str]()
    late.observe(heard.append)
    newer, older = change("toan-7", 9.0, ONE), change("toan-7", 8.0, ONE, TWO)
    late.take([newer])
    late.take([older, newer, change("van-7", 3.0)])
    assert heard == ["toan-7", "van-7"]
    assert late.of("toan-7") == newer
    again = LateLists(tmp_path / "late.json")
    assert again.all == [newer, change("van-7", 3.0)]


def test_only_the_latest_are_kept_and_all_are_passed_on(tmp_path: Path) -> None:
    late, heard = LateLists(tmp_path / "late.json"), list[str]()
    late.observe(heard.append)
    told = [change(f"bai-{number:03}", 1.0 + number) for number in range(MAX_LISTS + 9)]
    late.take(told)
    assert heard == [one.lesson for one in told]
    assert late.all == told[:8:-1]
    assert LateLists(tmp_path / "late.json").all == late.all


@pytest.mark.parametrize(
    "data", ["[", "7", "[7]", '[["toan-7", "x", 1]]', '[["toan-7", null, NaN]]']
)
def test_a_file_that_is_broken_counts_for_nothing(tmp_path: Path, data: str) -> None:
    (tmp_path / "late.json").write_text(data)
    assert LateLists(tmp_path / "late.json").all == []


def test_words_beside_an_archive_keep_the_later_list(tmp_path: Path) -> None:
    (tmp_path / "toan-7").mkdir()

    def kept() -> tuple[object, object]:
        words = json.loads((tmp_path / "toan-7" / "about.json").read_bytes())
        return words["title"], words["materials"]

    one, two, three = (sha(bytes([number])) for number in range(3))
    keep_about(tmp_path, "toan-7", {"title": "Một", "materials": one, "materials_at": 5.0})
    # From one that has not heard of it yet, and one that knows nothing of such dates.
    keep_about(tmp_path, "toan-7", {"title": "Hai", "materials": two, "materials_at": 4.0})
    assert kept() == ("Hai", one)
    keep_about(tmp_path, "toan-7", {"title": "Ba", "materials": two})
    assert kept() == ("Ba", one)
    keep_about(tmp_path, "toan-7", {"title": "Ba", "materials": three, "materials_at": 6.0})
    assert kept() == ("Ba", three)


# Down the tree.


async def test_changes_go_down_at_once_and_at_the_next_connection(tmp_path: Path) -> None:
    async with TreeRelay(tmp_path, "root") as root:
        root.hear()
        async with (
            TreeRelay(tmp_path, "region", [root.url]) as region,
            TreeRelay(tmp_path, "school", [region.url]) as school,
        ):
            await eventually(lambda: school.upstream.reached)
            root.lessons.late.take([change("toan-7", 5.0, ONE)])
            await eventually(lambda: school.lessons.late.all == [change("toan-7", 5.0, ONE)])
        root.lessons.late.take([change("toan-7", 6.0), change("van-7", 4.0, TWO)])
        async with (
            TreeRelay(tmp_path, "region", [root.url]) as region,
            TreeRelay(tmp_path, "school", [region.url]) as school,
        ):
            assert school.lessons.late.all == [change("toan-7", 5.0, ONE)]  # kept on disk
            await eventually(lambda: school.lessons.late.all == root.lessons.late.all)


async def test_a_weak_link_that_comes_back_is_spared_the_old_ones(tmp_path: Path) -> None:
    async with TreeRelay(tmp_path, "root") as root:
        root.hear()
        root.lessons.late.take(change(f"bai-{number:03}", 1.0 + number) for number in range(99))
        async with TreeRelay(tmp_path, "school", [root.url]) as school:
            await eventually(lambda: bool(school.lessons.late.all))
            assert school.lessons.late.all == root.lessons.late.all[:50]
            root.lessons.late.take([change("bai-000", 200.0, ONE)])
            await eventually(lambda: school.lessons.late.of("bai-000") is not None)
            assert len(school.lessons.late.all) == 51


# At a relay that keeps the lesson.


async def test_a_file_that_is_taken_back_goes_and_another_comes_though_bytes_cost_money(
    tmp_path: Path,
) -> None:
    async with KeepingRelay(tmp_path, "root") as root:
        root.hear()
        school = KeepingRelay(tmp_path, "school", [root.url], rules=Rules(metered=True))
        for relay in (root, school):
            relay.record(LESSON)
            fill(relay.materials.store, LESSON, ONE)
            relay.lessons.late.take([change(LESSON, 5.0, ONE)])
        async with school:
            path = f"/api/lessons/{LESSON}/materials"
            assert (await school.got(f"{path}/{sha(ONE)}"))[0] == 200
            fill(root.materials.store, LESSON, TWO)
            root.lessons.late.take([change(LESSON, 6.0, TWO)])
            # The list comes unasked.
            await eventually(lambda: listed(school) == [sha(TWO)])
            assert (await school.listed(LESSON))["materials"] == sha(list_of(LESSON, TWO))
            assert (await school.got(f"{path}/{sha(ONE)}"))[0] == 404
            await eventually(lambda: not school.materials.store.blobs.has(sha(ONE)))
            # The file when somebody opens it: the lesson is over.
            assert (await school.got(f"{path}/{sha(TWO)}"))[0] == 503
            await eventually(lambda: school.materials.store.blobs.has(sha(TWO)))
            assert await school.got(f"{path}/{sha(TWO)}") == (200, TWO)
            # And the last one of all.
            root.lessons.late.take([change(LESSON, 7.0)])
            await eventually(lambda: school.materials.store.held(LESSON) is None)
            assert (await school.listed(LESSON))["materials"] is None
            await eventually(lambda: not school.materials.store.blobs.all())


async def test_a_lesson_that_had_no_files_gets_its_first_ones(tmp_path: Path) -> None:
    async with KeepingRelay(tmp_path, "root") as root:
        root.record(LESSON)
        root.hear(lesson(LESSON))
        async with KeepingRelay(tmp_path, "school", [root.url]) as school:
            await eventually(lambda: school.lessons.info(LESSON) is not None)
            school.record(LESSON)
            root.lessons.ended(LESSON)
            await eventually(lambda: school.lessons.all() == [])
            fill(root.materials.store, LESSON, ONE)
            root.lessons.late.take([change(LESSON, 5.0, ONE)])
            await eventually(lambda: school.materials.store.find(sha(ONE)) is not None)
            digest = sha(list_of(LESSON, ONE))
            info = school.lessons.info(LESSON)
            assert info is not None
            assert info.materials == digest
            assert (await school.listed(LESSON))["title"] == f"Bài {LESSON}"
            assert (await school.listed(LESSON))["materials"] == digest
            # Whatever is told of the lesson once more, this stays.
            school.lessons.recording(LESSON, "finished", "", 9.0)
            assert (await school.listed(LESSON))["materials"] == digest


async def test_what_is_not_here_is_not_fetched_for_its_list(tmp_path: Path) -> None:
    async with KeepingRelay(tmp_path, "root") as root:
        root.hear()
        fill(root.materials.store, "van-7", TWO)
        fill(root.materials.store, LESSON, ONE)
        school = KeepingRelay(tmp_path, "school", [root.url])
        school.record(LESSON)
        take(school.materials.store, LESSON, TWO)
        async with school:
            root.lessons.late.take([change("van-7", 4.0, TWO), change(LESSON, 5.0, ONE)])
            await eventually(lambda: listed(school) == [sha(ONE)])
            assert school.lessons.late.of("van-7") is not None
            assert school.materials.sync.wanted.list_digest("van-7") == ""


async def test_who_was_away_for_long_hears_of_it_with_the_offers(tmp_path: Path) -> None:
    async with KeepingRelay(tmp_path, "root") as root:
        root.hear()
        root.record(LESSON)
        fill(root.materials.store, LESSON, ONE)
        root.lessons.late.take([change(LESSON, 5.0, ONE)])
        async with KeepingRelay(tmp_path, "school", [root.url]) as school:
            await eventually(lambda: listed(school) == [sha(ONE)])
            await eventually(lambda: school.is_whole(LESSON))
        fill(root.materials.store, LESSON, TWO)
        root.lessons.late.take([change(LESSON, 6.0, TWO)])
        # So many more that the line tells no more of this one.
        root.lessons.late.take(change(f"bai-{n:03}", 9.0 + n) for n in range(MAX_LISTS))
        assert root.lessons.late.of(LESSON) is None
        async with KeepingRelay(tmp_path, "school", [root.url]) as school:
            await eventually(lambda: listed(school) == [sha(TWO)])
            digest = sha(list_of(LESSON, TWO))
            assert (await school.listed(LESSON))["materials"] == digest


# From a teacher to a class.


async def test_from_the_teacher_to_a_school_and_to_one_that_was_away(tmp_path: Path) -> None:
    async with live.running(tmp_path / "data") as control, contextlib.AsyncExitStack() as stack:
        signer = Signer(load_or_create_key(control.data))
        teacher = control.token(Role.TEACHER)
        root = await stack.enter_async_context(
            KeepingRelay(tmp_path, "root", signer=signer, central=control.url)
        )
        school = await stack.enter_async_context(
            KeepingRelay(tmp_path, "school", [root.url], signer=signer)
        )
        await eventually(lambda: root.upstream.connected and school.upstream.reached)
        name = await control.plan(teacher)
        path = f"/api/lessons/{name}/materials"
        await eventually(lambda: school.lessons.info(name) is not None)
        for relay in (root, school):
            relay.record(name)
        assert (await control.call("POST", f"/api/lessons/{name}/start", teacher)).status == 200
        assert (await control.call("POST", f"/api/lessons/{name}/end", teacher)).status == 200
        root.line.archive_finished(RelayArchive(name, 8.0, 900, ("voice",)))
        await eventually(lambda: school.lessons.all() == [])

        async def give(data: bytes, title: str) -> str:
            at = f"{path}/{sha(data)}"
            answer = await control.call("PUT", at, teacher, data=data, params={"name": title})
            assert answer.status == 201
            return hashlib.sha256(answer.body).hexdigest()

        digest = await give(ONE, "Bài tập.pdf")
        await eventually(lambda: school.materials.store.find(sha(ONE)) is not None)
        assert (await school.listed(name))["materials"] == digest
        assert await school.got(f"{path}/{sha(ONE)}") == (200, ONE)

        # The central school loses its line; meanwhile one file is added, and the other taken back.
        await stack.aclose()
        await give(TWO, "Bài giải.pdf")
        answer = await control.call("DELETE", f"{path}/{sha(ONE)}", teacher)
        digest = hashlib.sha256(answer.body).hexdigest()
        async with (
            KeepingRelay(tmp_path, "root", signer=signer, central=control.url) as root,
            KeepingRelay(tmp_path, "school", [root.url], signer=signer) as school,
        ):
            await eventually(lambda: school.materials.store.find(sha(TWO)) is not None)
            for relay in (root, school):
                assert (await relay.listed(name))["materials"] == digest
                assert (await relay.got(f"{path}/{sha(ONE)}"))[0] == 404
                await eventually(partial(gone, relay, ONE))
