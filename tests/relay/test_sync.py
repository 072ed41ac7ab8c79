"""Archives come over HTTP, with the real parts on both sides: what comes, from whom, what again."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from classroom.tokens import Role
from relay.sync.allowance import Limits
from relay.sync.client import Rules
from relay.sync.plan import Lesson
from tests.eventually import eventually
from tests.fakes.archives import make, read
from tests.fakes.mischief import MISCHIEFS, cut_after, read_through, slowly
from tests.fakes.offering_relay import Handler, Relay, School, token


async def test_a_lesson_comes_byte_for_byte_and_is_then_offered_further(tmp_path: Path) -> None:
    made = make(beats=30)
    parent = Relay(tmp_path / "parent")
    made.write(parent.archives)
    async with parent.running():
        school = School(tmp_path / "school", [parent.url])
        async with school.fetching():
            await eventually(lambda: school.settled("toan-7"))
            await eventually(lambda: school.sync.progress()["state"] == "idle")
    assert read_archive(school) == made.files


async def test_what_came_before_a_cut_is_not_asked_for_again(tmp_path: Path) -> None:
    made = make(beats=6, sizes={"voice": 200_000})
    parent = Relay(tmp_path / "parent", cut_after(60_000))
    made.write(parent.archives)
    async with parent.running():
        school = School(tmp_path / "school", [parent.url])
        async with school.fetching():
            await eventually(lambda: school.settled("toan-7"))
            brought = school.sync.counts["far_bytes"]
    assert read_archive(school) == made.files
    # Manifest and journal once, each segment once: but for what a cut lost in the kernel, nothing.
    once = made.decoded.size + len(made.manifest) + len(made.journal) + len(made.events)
    assert brought <= once + 20_000


@pytest.mark.parametrize("abort", [True, False])
async def test_a_source_that_breaks_off_is_away_and_sent_no_rubbish(
    tmp_path: Path, abort: bool
) -> None:
    async def broken(request: web.Request, handler: Handler) -> web.StreamResponse | None:
        if not request.path.endswith("/manifest.json"):
            return None
        whole = await read_through(request, handler)
        response = web.StreamResponse()
        response.content_length = len(whole)
        await response.prepare(request)
        await response.write(whole[: len(whole) // 2])
        await asyncio.sleep(0.02)
        assert request.transport is not None
        request.transport.abort() if abort else request.transport.close()
        return response

    parent = Relay(tmp_path / "parent", broken)
    make().write(parent.archives)
    async with parent.running():
        school = School(tmp_path / "school", [parent.url])
        async with school.fetching():
            await eventually(lambda: school.sync.counts["failures"] + school.sync.counts["rubbish"])
            [source] = school.sync.progress()["sources"]
            assert (source["failures"], source["rubbish"]) == (1, 0)
            assert source["again_in"] <= 1.0
            parent.mischief = None
            await eventually(lambda: school.settled("toan-7"))


async def test_only_gaps_of_what_was_recorded_here_are_fetched(tmp_path: Path) -> None:
    made = make(beats=40)
    parent = Relay(tmp_path / "parent")
    made.write(parent.archives)
    folder = tmp_path / "school"
    own = make(
        beats=40,
        feed="c3d4",
        lost={"voice": range(10, 13), "camera-f": range(10, 13)},
        spoilt={"camera-q": (3, 20)},
    )
    own.write(folder / "archives")
    async with parent.running():
        school = School(folder, [parent.url])
        async with school.fetching():
            await eventually(lambda: school.settled("toan-7"))
            brought = school.sync.counts["far_bytes"]
    assert read_archive(school) == made.files
    gaps = [f"{name}/{beat}.m4s" for name in ("voice", "camera-f") for beat in (10, 11, 12)]
    gaps += ["camera-q/3.m4s", "camera-q/20.m4s"]
    needed = sum(len(made.files[name]) for name in gaps)
    tops = len(made.manifest) + len(made.journal) + len(made.events)
    assert needed <= brought <= needed + tops


async def test_a_live_lesson_stops_everything_and_its_end_lets_it_go_on(tmp_path: Path) -> None:
    made = make(beats=6, sizes={"voice": 300_000})
    parent = Relay(tmp_path / "parent", slowly)
    made.write(parent.archives)
    async with parent.running():
        school = School(tmp_path / "school", [parent.url])
        async with school.fetching():
            await eventually(lambda: school.sync.counts["far_bytes"] > 100_000)
            school.live = True
            school.sync.lessons_changed()
            stopped = school.sync.counts["far_bytes"]
            await asyncio.sleep(0.3)
            assert school.sync.counts["far_bytes"] - stopped <= 65_536
            assert school.sync.progress()["state"] == "live"
            await eventually(lambda: not school.sync.is_busy_far)
            # What came until then is on the disk, to the last bytes but those of a read.
            voice = school.archives / "toan-7" / "voice"
            here = sum(path.stat().st_size for path in voice.iterdir())
            assert here >= school.sync.counts["far_bytes"] - len(made.manifest) - 12_000
            parent.mischief = None
            school.live = False
            school.sync.lessons_changed()
            await eventually(lambda: school.settled("toan-7"))
    assert read_archive(school) == made.files


async def test_a_journal_is_not_asked_for_while_better_renditions_stay_away(
    tmp_path: Path,
) -> None:
    made = make(beats=4)
    parent = Relay(tmp_path / "parent")
    made.write(parent.archives)
    async with parent.running():
        school = School(tmp_path / "school", [parent.url], Rules(metered=True))
        school.sync.meant(("toan-7",))
        async with school.fetching():
            plan, names = school.sync.plan, {"voice", "camera-q"}
            await eventually(lambda: held_of(plan.lesson("toan-7")) >= names)
            await asyncio.sleep(0.3)
    assert not [path for path in parent.asked if path.endswith("journal.jsonl")]


async def test_what_is_found_rotten_at_the_end_costs_no_journal_and_no_haste(
    tmp_path: Path,
) -> None:
    made = make(beats=2)
    parent = Relay(tmp_path / "parent")
    made.write(parent.archives)

    def journals() -> int:
        return len([path for path in parent.asked if path.endswith("journal.jsonl")])

    async with parent.running():
        before = School(tmp_path / "school", [parent.url])
        before.cache.begin("toan-7", made.manifest)
        for part in before.cache.missing("toan-7"):
            before.cache.put(part, made.part(part.rendition, part.name))
        before.cache.close()
        file = before.archives / "toan-7" / "voice" / "1.m4s"
        file.write_bytes(bytes(file.stat().st_size))
        school = School(tmp_path / "school", [parent.url])
        async with school.fetching():
            await eventually(lambda: school.cache.counters()["rotten"])
            await asyncio.sleep(0.2)
            assert (journals(), school.settled("toan-7")) == (0, False)
            # Who waits for it has it at once, and then the lesson is finished.
            assert await school.sync.ask_now("toan-7", "voice", "1.m4s")
            await eventually(lambda: school.settled("toan-7"))
            assert journals() == 1
            await eventually(lambda: (school.archives / "toan-7" / "about.json").exists())
    assert read_archive(school) == made.files


async def test_what_came_while_room_was_looked_for_does_not_hold_its_lesson_up(
    tmp_path: Path,
) -> None:
    parent = Relay(tmp_path / "parent")
    for name in ("toan-7", "van-8"):
        make(name, beats=3, sizes={"voice": 9_000}).write(parent.archives)
    async with parent.running():
        school = School(tmp_path / "school", [parent.url])
        school.sync.width.connections = 1
        school.sync.meant(("toan-7", "van-8"))
        look = school.cache.room_for

        def look_long(lesson: str, epoch: float = 0.0) -> int:
            opened = school.sync.queue.opened(lesson)
            if lesson == "toan-7" and opened is not None and opened.left("voice"):
                for part in school.cache.missing(lesson):
                    data = (parent.archives / lesson / part.rendition / part.name).read_bytes()
                    school.cache.put(part, data)
                    opened.came(part, None)  # as from a pupil's asking
            return look(lesson, epoch)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(school.cache, "room_for", look_long)
            async with school.fetching():
                await eventually(lambda: school.settled("toan-7") and school.settled("van-8"))


async def test_a_sibling_is_asked_before_the_weak_link(tmp_path: Path) -> None:
    made = make(beats=8)
    parent, sibling = Relay(tmp_path / "parent"), Relay(tmp_path / "sibling")
    made.write(parent.archives)
    made.write(sibling.archives)
    async with parent.running(), sibling.running():
        rules = Rules(Limits(spans=()), siblings=(sibling.url,))
        school = School(tmp_path / "school", [parent.url], rules)
        async with school.fetching():
            await eventually(lambda: school.settled("toan-7"))
            counts = school.sync.counts
    # Not even a window was open for the link.
    assert counts["far_bytes"] == 0
    assert counts["near_bytes"] >= made.decoded.size
    assert not [path for path in parent.asked if path.endswith("/bytes")]


async def test_new_lessons_at_the_parent_do_not_hold_up_what_a_sibling_has(tmp_path: Path) -> None:
    parent, sibling = Relay(tmp_path / "parent"), Relay(tmp_path / "sibling")
    for number in range(6):
        newer = make(f"moi-{number}", beats=1, epoch_ms=1_770_000_000_000 + number)
        newer.write(parent.archives)
    make(beats=1).write(sibling.archives)
    async with parent.running(), sibling.running():
        rules = Rules(Limits(spans=()), siblings=(sibling.url,))
        school = School(tmp_path / "school", [parent.url], rules)
        async with school.fetching():
            await eventually(lambda: school.settled("toan-7"))
    assert not [path for path in parent.asked if "moi" in path]


@pytest.mark.parametrize(
    "name", ["lies", "endless", "short", "wrong_status", "garbled", "no_length"]
)
async def test_a_source_that_sends_rubbish_is_left_alone_and_another_asked(
    tmp_path: Path, name: str
) -> None:
    made = make(beats=8)
    bad, good = Relay(tmp_path / "bad", MISCHIEFS[name]), Relay(tmp_path / "good")
    made.write(bad.archives)
    made.write(good.archives)
    async with bad.running(), good.running():
        school = School(tmp_path / "school", [bad.url, good.url])
        async with school.fetching():
            await eventually(lambda: school.settled("toan-7"))
            sources = {each["name"]: each for each in school.sync.progress()["sources"]}
            brought = school.sync.counts["far_bytes"]
    assert read_archive(school) == made.files
    assert brought <= 3 * made.decoded.size + 200_000
    if name != "short":
        assert sources[bad.url]["again_in"] > 0
    assert sources[good.url]["again_in"] == 0


async def test_a_parent_that_is_not_there_is_no_crash(tmp_path: Path) -> None:
    school = School(tmp_path / "school", ["http://127.0.0.1:9"])
    async with school.fetching():
        await eventually(lambda: school.sync.counts["failures"] > 0)
        assert school.sync.progress()["sources"][0]["failures"] == 1


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b"{}",
        b'{"offers": [{"lesson": "../../etc"}], "cursor": "", "more": true, "reset": true}',
        b'{"offers": [], "cursor": "", "more": 1, "reset": false}',
        b"x" * 5_000_000,
        b"packed",
    ],
)
async def test_a_list_that_is_rubbish_is_refused(tmp_path: Path, body: bytes) -> None:
    headers = {"Content-Encoding": "gzip"} if body == b"packed" else {}

    async def rubbish(request: web.Request, handler: Handler) -> web.StreamResponse | None:
        return web.Response(body=body, headers=headers) if request.path == "/api/offers" else None

    parent = Relay(tmp_path / "parent", rubbish)
    async with parent.running():
        school = School(tmp_path / "school", [parent.url])
        async with school.fetching():
            await eventually(lambda: school.sync.counts["rubbish"] == 1)
            assert school.sync.progress()["lessons_left"] == 0


async def test_a_part_that_a_pupil_waits_for_comes_before_all_others(tmp_path: Path) -> None:
    made, other = make(beats=40, sizes={"voice": 60_000}), make("van-8", beats=40)
    parent = Relay(tmp_path / "parent")
    made.write(parent.archives)
    other.write(parent.archives)
    async with parent.running():
        # Nothing is fetched by itself: no window is open.
        school = School(tmp_path / "school", [parent.url], Rules(Limits(spans=())))
        async with school.fetching():
            await eventually(lambda: school.sync.queue.offer("toan-7") is not None)
            asked = [school.sync.ask_now("toan-7", "voice", f"{n}.m4s") for n in (30, 30, 31)]
            assert await asyncio.gather(*asked) == [True, True, True]
            assert not await school.sync.ask_now("toan-7", "voice", "99.m4s")
            assert not await school.sync.ask_now("ly-9", "voice", "0.m4s")
        path = school.cache.open_verified("toan-7", "voice", "30.m4s")
        assert path is not None
        assert path.read_bytes() == made.part("voice", "30.m4s")
        missing = [part.name for part in school.cache.missing("toan-7")]
        assert len(missing) == len(made.files) - 4 - 2


async def test_a_running_lesson_is_filled_from_what_the_parent_has(tmp_path: Path) -> None:
    running = make(beats=12, finished=False)
    parent = Relay(tmp_path / "parent")
    running.write(parent.archives, without=("manifest.json",))
    folder = tmp_path / "school"
    own = make(beats=12, finished=False, feed="c3d4", lost={"voice": (4, 5)})
    own.write(folder / "archives", without=("manifest.json",))
    async with parent.running():
        school = School(folder, [parent.url])
        school.live = True
        async with school.fetching():
            await eventually(lambda: school.sync.refusal == "live")
            assert await school.sync.ask_now("toan-7", "voice", "4.m4s")
        path = school.cache.open_verified("toan-7", "voice", "4.m4s")
        assert path is not None
        assert path.read_bytes() == running.part("voice", "4.m4s")


async def test_nobody_without_the_right_is_given_anything(tmp_path: Path) -> None:
    parent = Relay(tmp_path / "parent")
    make().write(parent.archives)
    async with parent.running(), aiohttp.ClientSession() as http:
        for path in ("/api/offers", "/api/offers/toan-7/manifest.json"):
            async with http.get(parent.url + path) as answer:
                assert answer.status == 401
            headers = {"Authorization": f"Bearer {token(Role.ROOM)}"}
            async with http.get(parent.url + path, headers=headers) as answer:
                assert answer.status == 403
        headers = {"Authorization": f"Bearer {token()}"}
        for path in (
            "/api/offers/toan-7/about.json",
            "/api/offers/..%2f..%2fetc/manifest.json",
            "/api/offers/toan-7/..%2fkeys.json",
            "/api/offers/toan-7/..%2fvoice/bytes?of=0-9",
        ):
            async with http.get(parent.url + path, headers=headers) as answer:
                assert answer.status in (404, 412)


async def test_the_list_tells_only_what_is_new(tmp_path: Path) -> None:
    parent = Relay(tmp_path / "parent")
    for name in ("toan-7", "van-8"):
        make(name).write(parent.archives)
    first = parent.offers.page("")
    assert (first.reset, first.more, len(first.documents)) == (True, False, 2)
    nothing = parent.offers.page(first.cursor)
    assert (nothing.reset, nothing.documents) == (False, [])
    make("ly-9").write(parent.archives)
    shutil.rmtree(parent.archives / "van-8")
    news = parent.offers.page(first.cursor)
    told = [json.loads(document) for document in news.documents]
    assert [(one["lesson"], one.get("gone", False)) for one in told] == [
        ("ly-9", False),
        ("van-8", True),
    ]
    one_by_one = parent.offers.page(first.cursor, most=1)
    assert one_by_one.more
    assert len(one_by_one.documents) == 1
    # Whoever knew another list, or one that is lost, is told everything.
    for cursor in ("feed.3", "rubbish", first.cursor + "9" * 30):
        assert parent.offers.page(cursor).reset


async def test_a_full_disk_costs_the_link_nothing(tmp_path: Path) -> None:
    parent = Relay(tmp_path / "parent")
    for number in range(20):
        make(f"bai-{number}", beats=5).write(parent.archives)
    async with parent.running():
        school = School(tmp_path / "school", [parent.url], quota_bytes=2_000)
        async with school.fetching():
            await eventually(lambda: school.sync.counts["lists"])
            plan, time = school.sync.plan, school.sync.time
            await eventually(
                lambda: not plan.next_fetches(time.moment().now, time.moment().wall, 9)
            )
            assert school.sync.progress()["lessons_left"] == 20
    assert not [path for path in parent.asked if "bai" in path]


async def test_a_new_lesson_comes_where_old_ones_fill_the_quota(tmp_path: Path) -> None:
    parent = Relay(tmp_path / "parent")
    old = [make(name, epoch_ms=1_600_000_000_000 + at) for at, name in enumerate(("cu-1", "cu-2"))]
    make("moi-1", epoch_ms=1_700_000_000_000).write(parent.archives)
    folder = tmp_path / "school"
    held = School(folder, [])
    for made in old:
        held.cache.begin(made.lesson, made.manifest)
        for part in held.cache.missing(made.lesson):
            held.cache.put(part, made.part(part.rendition, part.name))
        held.cache.finish(made.lesson, made.journal, made.events)
    quota = held.cache.space().held
    held.cache.close()
    async with parent.running():
        school = School(folder, [parent.url], quota_bytes=quota)
        async with school.fetching():
            await eventually(lambda: school.settled("moi-1"))
            assert (school.settled("cu-1"), school.settled("cu-2")) == (False, True)


async def test_a_long_list_is_read_a_part_at_a_time(tmp_path: Path) -> None:
    parent = Relay(tmp_path / "parent")
    made = make(beats=1, sizes={"voice": 10})
    for number in range(120):
        make(f"bai-{number}", beats=1, sizes={"voice": 10}).write(parent.archives)
    made.write(parent.archives)
    first = parent.offers.page("")
    assert (first.more, len(first.documents)) == (True, 100)
    second = parent.offers.page(first.cursor)
    assert (second.more, len(second.documents)) == (False, 21)


async def test_a_budget_that_is_spent_holds_for_pupils_too(tmp_path: Path) -> None:
    made = make(beats=8)
    parent = Relay(tmp_path / "parent")
    made.write(parent.archives)
    async with parent.running():
        school = School(tmp_path / "school", [parent.url], Rules(Limits(daily=6_000)))
        async with school.fetching():
            await eventually(lambda: school.sync.progress()["state"] == "budget")
            assert school.sync.progress()["budget_left"] == 0
            missing = school.cache.missing("toan-7")
            assert missing
            assert not await school.sync.ask_now("toan-7", missing[-1].rendition, missing[-1].name)
            # What was begun comes to its end; nothing new begins.
            assert school.sync.counts["far_bytes"] < made.decoded.size


def held_of(lesson: Lesson | None) -> set[str]:
    """Renditions that are all here."""
    shares = lesson.shares if lesson is not None else ()
    return {share.rendition for share in shares if share.held >= share.bytes}


def read_archive(school: School) -> dict[str, bytes]:
    found = read(school.archives / "toan-7")
    found.pop("about.json")
    return found
