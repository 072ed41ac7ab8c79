"""The line between relays: lessons down, rooms up, parents lost and found, loops, revocation.

Real WebSockets between relays without media, in one process; the control plane is the test.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from time import monotonic, time

import pytest

from classroom.wire import (
    LessonState,
    Message,
    Ping,
    Pong,
    Recording,
    RelayHello,
    RelayLesson,
    RelayLessons,
    RelayPath,
    RelayRevoked,
    RelayStep,
    RoomRung,
    RungName,
    VoiceWish,
    decode,
    encode,
)
from relay.web import central, child_line
from relay.web.child_line import Heard
from relay.web.rungs import told
from relay.web.told_up import report
from relay.web.tree_metrics import tree_families
from relay.web.voice_wish import WishOfLesson
from tests.eventually import eventually
from tests.fakes.relay_tree import TreeRelay, hurry, lesson

PLANNED = LessonState.PLANNED


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)


def titles(relay: TreeRelay) -> set[str]:
    return {info.id for info in relay.lessons.all()}


async def test_lessons_go_down_and_end_at_any_depth(tmp_path: Path) -> None:
    async with (
        TreeRelay(tmp_path, "root") as root,
        TreeRelay(tmp_path, "region", [root.url]) as region,
        TreeRelay(tmp_path, "school", [region.url]) as school,
    ):
        root.hear(lesson("toan-8"), lesson("van-8", PLANNED))
        await eventually(lambda: titles(school) == {"toan-8", "van-8"})
        assert school.lessons.info("toan-8") == lesson("toan-8")
        assert [step.name for step in school.upstream.path] == ["root", "region"]
        await eventually(lambda: school.upstream.reached)
        assert school.line._socket is not None
        assert school.line._socket.compress  # a long list crosses a weak link

        root.lessons.told([lesson("toan-8"), lesson("van-8"), lesson("su-7", PLANNED)])
        await eventually(lambda: "su-7" in titles(school))
        info = school.lessons.info("van-8")
        assert info is not None
        assert info.state is LessonState.LIVE
        root.lessons.ended("toan-8")
        await eventually(lambda: "toan-8" in school.ended)
        assert titles(school) == {"van-8", "su-7"}
        over = school.lessons.info("toan-8")
        assert over is not None
        assert over.state is LessonState.ENDED
        # One that was taken back before it began goes away without a word.
        root.lessons.told([lesson("van-8")])
        await eventually(lambda: titles(school) == {"van-8"})
        assert school.ended.count("su-7") <= 1


async def test_a_child_hears_nothing_of_what_changes_by_the_second(tmp_path: Path) -> None:
    async with (
        TreeRelay(tmp_path, "root") as root,
        TreeRelay(tmp_path, "school", [root.url]) as school,
    ):
        root.hear(lesson("toan-8"))
        await eventually(lambda: titles(school))
        timetable = root.children._timetable
        looks: list[None] = []
        timetable.observe(lambda: looks.append(None))
        before = timetable.message
        for second in range(50):
            root.lessons.recording("toan-8", "recording", "", float(second))
        root.watch("toan-8", "5A")
        assert looks == []
        assert timetable.message is before
        root.lessons.ended("toan-8")
        assert len(looks) == 1
    # What is kept from before a restart can go away, too.
    async with TreeRelay(tmp_path, "root") as root:
        root.hear(lesson("van-8", PLANNED))
    async with TreeRelay(tmp_path, "root") as root:
        assert [info.id for info in root.children._timetable.message.lessons] == ["van-8"]
        root.lessons.told([])
        assert root.children._timetable.message.lessons == ()


async def test_what_ended_while_a_child_was_away_ends_when_it_is_back(tmp_path: Path) -> None:
    async with TreeRelay(tmp_path, "root") as root:
        root.hear(lesson("toan-8"), lesson("van-8"))
        async with TreeRelay(tmp_path, "school", [root.url]) as school:
            await eventually(lambda: titles(school) == {"toan-8", "van-8"})
        root.lessons.ended("toan-8")
        async with TreeRelay(tmp_path, "school", [root.url]) as school:
            assert titles(school) == {"toan-8", "van-8"}  # kept on disk
            await eventually(lambda: titles(school) == {"van-8"})
            assert "toan-8" in school.ended


async def test_a_parent_that_is_cut_off_ends_nothing_by_its_silence(tmp_path: Path) -> None:
    async with TreeRelay(tmp_path, "root") as root:
        root.hear(lesson("toan-8"))
        async with TreeRelay(tmp_path, "school", [root.url]) as school:
            await eventually(lambda: titles(school) == {"toan-8"})
        # The parent lost its disk and its way up, and knows another lesson only.
        root.hear(lesson("van-8"), reached=False)
        root.lessons._over.clear()
        async with TreeRelay(tmp_path, "school", [root.url]) as school:
            await eventually(lambda: titles(school) == {"toan-8", "van-8"})
            assert school.ended == []
            # Back in reach it knows: what is missing now has ended.
            root.upstream.told((), True)
            await eventually(lambda: titles(school) == {"van-8"})


async def test_rooms_go_up_with_their_school_and_are_counted(tmp_path: Path) -> None:
    async with (
        TreeRelay(tmp_path, "root") as root,
        TreeRelay(tmp_path, "region", [root.url]) as region,
        TreeRelay(tmp_path, "school", [region.url]) as school,
    ):
        root.hear(lesson("toan-8"))
        await eventually(lambda: titles(school))
        school.watch("toan-8", "5A", "stills")
        region.watch("toan-8", "hall")
        await eventually(lambda: root.children.count("toan-8") == 2)
        await eventually(lambda: len(root.children.rooms("toan-8")) == 2)
        rooms = {room.name: room for room in root.children.rooms("toan-8").values()}
        assert {name: room.school for name, room in rooms.items()} == {
            "Lớp 5A": "school",
            "Lớp hall": "region",
        }
        assert rooms["Lớp 5A"].rung is RungName.STILLS
        assert report("toan-8", root.lessons, root.children).rooms == 2
        told_rooms = {
            tuple(sample.labels.values()): sample.value
            for family in tree_families(root.children, root.upstream)
            for sample in family.samples
            if sample.name == "relay_rooms_below"
        }
        assert told_rooms == {
            ("toan-8", "school", "stills"): 1.0,
            ("toan-8", "region", "full"): 1.0,
        }
        await eventually(lambda: set(root.children.nodes()) == {region.id, school.id})
        node = root.children.nodes()[school.id]
        assert (node.name, node.url, node.parent) == (
            "school",
            "http://school.example:8081",
            region.id,
        )
        await school.__aexit__(None, None, None)
        await eventually(lambda: root.children.count("toan-8") == 1)
        await eventually(lambda: len(root.children.rooms("toan-8")) == 1)
        await eventually(lambda: set(root.children.nodes()) == {region.id})
        await school.__aenter__()


async def test_a_lost_parent_is_followed_by_the_next_and_the_preferred_one_comes_back(
    tmp_path: Path,
) -> None:
    async with TreeRelay(tmp_path, "root") as root, TreeRelay(tmp_path, "far") as far:
        root.hear(lesson("toan-8"))
        far.hear(lesson("toan-8"))
        async with TreeRelay(tmp_path, "school", [root.url, far.url]) as school:
            await eventually(lambda: school.line.connected)
            assert school.upstream.url == root.url
            await root.stop()
            await eventually(lambda: school.line.connected and school.upstream.url == far.url)
            assert titles(school) == {"toan-8"}
            assert school.ended == []
            assert not await school.scout.look(school.http)  # it is still away
            async with TreeRelay(tmp_path, "root", port=root.port) as again:
                again.hear(lesson("toan-8"))
                school.busy = True
                assert not await school.scout.look(school.http)
                school.busy = False
                assert await school.scout.look(school.http)
                await eventually(lambda: school.line.connected)
                assert school.upstream.url == again.url
                # Where the way up is lost, another parent is better even though a room watches.
                school.busy = True
                again.upstream.told((), False)
                await eventually(lambda: not school.upstream.reached)
                assert await school.scout.look(school.http)
                assert school.upstream.url == far.url
                # And back only when it is in reach again.
                school.busy = False
                await eventually(lambda: school.line.connected and school.upstream.reached)
                assert not await school.scout.look(school.http)


async def test_a_relay_that_would_be_its_own_parent_is_refused(tmp_path: Path) -> None:
    async with TreeRelay(tmp_path, "root") as root, TreeRelay(tmp_path, "region") as first:
        port = first.port
        await first.stop()
        async with (
            TreeRelay(tmp_path, "school", [f"http://127.0.0.1:{port}"]) as school,
            TreeRelay(tmp_path, "region", [school.url, root.url], port=port) as region,
        ):
            root.hear(lesson("toan-8"))
            # The region called the school first, which leads nowhere; so it looks further.
            await eventually(lambda: "its own lessons from" in school.line.problem)
            assert await region.scout.look(region.http)
            await eventually(lambda: region.upstream.reached)
            assert region.upstream.url == root.url
            await eventually(lambda: school.line.connected and school.upstream.reached)
            assert [step.name for step in school.upstream.path] == ["root", "region"]
            # From now on the region is refused by name.
            async with region.http.ws_connect(
                f"{school.url}/api/relay", headers={"Authorization": f"Bearer {region.token()}"}
            ) as socket:
                hello = RelayHello("region", "http://r.example", "0.1.0", 1)
                await socket.send_bytes(encode(hello))
                error = decode((await socket.receive()).data)
            assert getattr(error, "code", None) == "relay-loop"
            assert socket.close_code == 4409


async def test_a_revoked_child_is_told_so_and_keeps_what_it_has(tmp_path: Path) -> None:
    async with (
        TreeRelay(tmp_path, "root") as root,
        TreeRelay(tmp_path, "region", [root.url]) as region,
        TreeRelay(tmp_path, "school", [region.url]) as school,
    ):
        root.hear(lesson("toan-8"))
        await eventually(lambda: titles(school))
        root.revoked.told(RelayRevoked((school.id,)))
        await eventually(lambda: "took this relay's enrolment back" in school.line.problem)
        assert school.upstream.refusal == "relay-revoked"
        assert titles(school) == {"toan-8"}
        await eventually(lambda: not school.line.connected)
        headers = {"Authorization": f"Bearer {school.token()}"}
        async with school.http.get(f"{region.url}/api/relays/path", headers=headers) as answer:
            assert answer.status == 403
            assert "relay-revoked" in (await answer.json())["type"]
        assert region.line.connected
    # It is remembered through a restart.
    assert TreeRelay(tmp_path, "region", ["http://127.0.0.1:9"]).revoked.message.relays == (
        school.id,
    )


async def test_the_newest_connection_of_a_token_counts(tmp_path: Path) -> None:
    async with (
        TreeRelay(tmp_path, "root") as root,
        TreeRelay(tmp_path, "school", [root.url]) as school,
    ):
        root.hear(lesson("toan-8"))
        await eventually(lambda: school.line.connected)
        async with TreeRelay(tmp_path / "copy", "school", [root.url]) as copy:
            await eventually(lambda: copy.line.connected and not school.line.connected)
            assert list(root.children.connected) == [school.id]
            assert "Another relay" in school.line.problem


async def test_a_parent_is_in_reach_only_with_the_list_of_this_line(tmp_path: Path) -> None:
    region = TreeRelay(tmp_path, "region", ["http://127.0.0.1:9"])
    region.upstream.told((RelayStep("root", "root"),), True)
    assert not region.children.path.reached
    region.upstream.opened()
    assert region.children.path.reached


async def test_a_parent_with_a_wrong_clock_tells_the_date_that_it_was_told(tmp_path: Path) -> None:
    years = 5 * 365 * 86_400.0
    async with (
        TreeRelay(tmp_path, "root", clock=lambda: time() + years) as root,
        TreeRelay(tmp_path, "school") as school,
    ):
        root.date.told(time() - monotonic())
        headers = {"Authorization": f"Bearer {school.token()}"}
        async with school.http.ws_connect(f"{root.url}/api/relay", headers=headers) as socket:
            await socket.send_bytes(encode(RelayHello("school", "http://s.example", "0.1.0", 1)))
            await eventually(lambda: bool(root.children.connected))

            async def told_date() -> float:
                await socket.send_bytes(encode(Ping(1.0)))
                while not isinstance(message := decode((await socket.receive()).data), Pong):
                    pass
                return message.server_time

            assert abs(await told_date() - time()) < 60
            # Its clock was set meanwhile, to another one than it is told.
            root.date.told(time() - monotonic() - years)
            assert abs(await told_date() - time() + years) < 60


async def test_a_child_counts_no_more_rooms_than_there_can_be(tmp_path: Path) -> None:
    async with (
        TreeRelay(tmp_path, "root") as root,
        TreeRelay(tmp_path, "region", [root.url]) as region,
        TreeRelay(tmp_path, "school") as school,
    ):
        root.hear(lesson("toan-8"))
        await eventually(lambda: region.line.connected)
        headers = {"Authorization": f"Bearer {school.token()}"}
        async with school.http.ws_connect(f"{region.url}/api/relay", headers=headers) as socket:
            await socket.send_bytes(encode(RelayHello("school", "http://s.example", "0.1.0", 1)))
            most = RelayLesson("toan-8", False, (), 2**53 - 1, Recording())
            await socket.send_bytes(encode(most))
            # Together with rooms of its own, that would be no number which can be told.
            region.watch("toan-8", "5a")
            await eventually(lambda: root.children.count("toan-8") == 100_000)


async def test_a_message_that_cannot_be_said_costs_itself_and_not_the_line(tmp_path: Path) -> None:
    async with (
        TreeRelay(tmp_path, "root") as root,
        TreeRelay(tmp_path, "region", [root.url]) as region,
    ):
        root.hear(lesson("toan-8"))
        await eventually(lambda: region.line.connected)
        line = root.children._lines[region.id]
        for rooms in (2**53, 7):
            assert region.line.send(RelayLesson("toan-8", False, (), rooms, Recording()))
        await eventually(lambda: root.children.count("toan-8") == 7)
        assert root.children._lines[region.id] is line


async def test_strangers_do_not_sit_down(tmp_path: Path) -> None:
    async with TreeRelay(tmp_path, "root") as root, TreeRelay(tmp_path, "other") as other:
        for headers in ({}, {"Authorization": "Bearer x.y.z"}):
            async with other.http.ws_connect(f"{root.url}/api/relay", headers=headers) as socket:
                error = decode((await socket.receive()).data)
            assert getattr(error, "code", "").startswith("token-")
            assert socket.close_code == 4401
        assert root.children.connected == {}


@pytest.mark.parametrize("first", [b"\xc1rubbish", encode(RelayLessons(()))])
async def test_rubbish_costs_the_child_its_line_and_nobody_else(
    tmp_path: Path, first: bytes
) -> None:
    async with (
        TreeRelay(tmp_path, "root") as root,
        TreeRelay(tmp_path, "school", [root.url]) as school,
        TreeRelay(tmp_path, "bad") as bad,
    ):
        root.hear(lesson("toan-8"))
        await eventually(lambda: school.line.connected)
        headers = {"Authorization": f"Bearer {bad.token()}"}
        async with bad.http.ws_connect(f"{root.url}/api/relay", headers=headers) as socket:
            await socket.send_bytes(first)
            while (await socket.receive()).data is not None and not socket.closed:
                pass
        assert socket.close_code == 4400
        assert list(root.children.connected) == [school.id]


async def test_a_parent_that_tells_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(central, "_LIST_SECONDS", 0.05)
    async with TreeRelay(tmp_path, "mute") as mute, TreeRelay(tmp_path, "root") as root:
        monkeypatch.setattr(child_line.ChildLine, "_tell", lambda self: None)
        monkeypatch.setattr(mute.children, "_admit", lambda claims, line: None)
        async with TreeRelay(tmp_path, "school", [mute.url, root.url]) as school:
            await eventually(lambda: school.upstream.url == root.url)


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 101 Switching", b"\0" * 70_000])
async def test_a_parent_that_stalls_or_babbles_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    monkeypatch.setattr(TreeRelay, "patience_s", 0.3)
    open_lines: list[asyncio.StreamWriter] = []

    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_lines.append(writer)
        writer.write(said)

    server = await asyncio.start_server(stall, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, TreeRelay(tmp_path, "root") as root:
        root.hear(lesson("toan-8"))
        async with TreeRelay(tmp_path, "school", [f"http://127.0.0.1:{port}", root.url]) as school:
            await eventually(lambda: school.line.connected)
            assert school.upstream.url == root.url
        assert open_lines
        for writer in open_lines:
            writer.close()


async def test_messages_of_others_go_both_ways_at_once(tmp_path: Path) -> None:
    async with (
        TreeRelay(tmp_path, "root") as root,
        TreeRelay(tmp_path, "school", [root.url]) as school,
    ):
        heard: list[Message] = []
        school.line.on_message.append(heard.append)
        assert not school.line.send(VoiceWish("toan-8", 24_000, 60, True))
        assert not root.children.send(school.id, of_no_use())
        root.hear(lesson("toan-8"))
        await eventually(lambda: school.line.connected)
        assert root.children.send(school.id, of_no_use())
        await eventually(lambda: heard)
        assert school.line.send(VoiceWish("toan-8", 24_000, 60, True))
        await eventually(lambda: root.children.wish("toan-8"))


def of_no_use() -> Message:
    """One that the line itself has no use for."""
    return RelayLesson("toan-8", False, (), 3, lesson("toan-8").recording)


def test_one_poor_school_does_not_thin_everyones_voice() -> None:
    of = WishOfLesson("toan-8")
    thrifty, well = VoiceWish("toan-8", 24_000, 60, True), VoiceWish("toan-8", 32_000, 20, False)
    for at in range(30):
        of.update((), float(at), [(thrifty, 3), (well, 20), (None, 5)])
    assert of.wish == well
    for at in range(30, 60):
        of.update((), float(at), [(thrifty, 20), (well, 3)])
    assert of.wish == thrifty


def test_what_a_child_says_is_bounded() -> None:
    heard = Heard()
    for number in range(2_000):
        heard.receive(RelayLesson(f"l-{number}", True, (), 1, lesson("x-1").recording))
        room = RoomRung(f"r{number}", "", RungName.FULL, "choice", 1.0)
        for message in told(f"l-{number}", None, {room.room: room}):
            heard.receive(message)
    assert len(heard.counts) == 500
    assert len(heard.rooms.lessons()) == 100
    with pytest.raises(ValueError, match="relay-path"):
        heard.receive(RelayPath((), True))
