"""Files that go along with lessons, at the control plane: given, listed, fetched, swept up.

Every answer is held against the OpenAPI document by the caller in `central`. What is refused is
tested in `test_central_materials_refused`.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest

from classroom import wire
from classroom.archive.materials import Material, Materials
from classroom.settings import Materials as MaterialSettings
from classroom.store import load_key
from classroom.tokens import Right, Role, Signer, Verifier
from tests.eventually import eventually
from tests.fakes.redis_server import redis_server
from tests.live.central import (
    Answer,
    Central,
    Wall,
    next_message,
    page,
    relay,
    running,
    start,
    with_storage,
)

SLIDES = b"%PDF-1.7 " + bytes(range(256)) * 3_000
FILM = b"\0\0\0\x18ftypmp42" * 100


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def give(
    central: Central, token: str, lesson: str, name: str, data: bytes, **options: Any
) -> Answer:
    path = f"/api/lessons/{lesson}/materials/{digest_of(data)}?name={quote(name)}"
    return await central.call("PUT", path, token, data=data, **options)


def kept(central: Central) -> list[str]:
    """What lies in the directory, but for notes of what no list names."""
    names = (path.name for path in (central.data / "materials").iterdir())
    return sorted(name for name in names if not name.startswith(".unnamed-"))


@pytest.fixture
async def central(tmp_path: Path) -> AsyncIterator[Central]:
    async with running(tmp_path / "data") as central:
        yield central


@pytest.fixture
def teacher(central: Central) -> str:
    return central.token(Role.TEACHER)


async def test_a_file_from_the_teacher_to_who_may_see_the_lesson(
    central: Central, teacher: str
) -> None:
    lesson = await central.plan(teacher)
    path = f"/api/lessons/{lesson}/materials"
    empty = await central.call("GET", path, teacher)
    assert empty.body == Materials(lesson, ()).encode()
    assert empty.headers["ETag"] == f'"{digest_of(empty.body)}"'
    assert (await central.call("GET", f"/api/lessons/{lesson}", teacher)).json["materials"] is None

    answer = await give(central, teacher, lesson, " Định luật Ôm.pdf ", SLIDES)
    assert answer.status == 201
    known = Materials(
        lesson, (Material("Định luật Ôm.pdf", len(SLIDES), digest_of(SLIDES)),)
    ).encode()
    assert answer.body == known
    assert (await give(central, teacher, lesson, "Định luật Ôm.pdf", SLIDES)).status == 200
    shown = (await central.call("GET", f"/api/lessons/{lesson}", teacher)).json
    assert shown["materials"] == digest_of(known)

    for role in (Role.ROOM, Role.VIEWER, Role.RELAY, Role.TEACHER):
        token = central.token(role, lesson if role is Role.ROOM else "*")
        listed = await central.call("GET", path, token)
        assert listed.body == known
        assert listed.headers["Content-Type"] == "application/json"
        assert listed.headers["ETag"] == f'"{digest_of(known)}"'
        assert listed.headers["Cache-Control"] == "no-cache"
        again = {"If-None-Match": listed.headers["ETag"]}
        assert (await central.call("GET", path, token, headers=again)).status == 304
        file = await central.call("GET", f"{path}/{digest_of(SLIDES)}", token)
        assert (file.status, file.body) == (200, SLIDES)


async def test_a_relay_needs_no_other_right(central: Central, teacher: str) -> None:
    lesson = await central.plan(teacher)
    await give(central, teacher, lesson, "a.pdf", SLIDES)
    keys = (await central.call("GET", "/api/keys")).json
    claims = Verifier(keys).verify(central.token(Role.RELAY), time.time())
    token = Signer(load_key(central.data)).sign(replace(claims, rights=frozenset({Right.RELAY})))
    for path in ("", f"/{digest_of(SLIDES)}"):
        answer = await central.call("GET", f"/api/lessons/{lesson}/materials{path}", token)
        assert answer.status == 200


async def test_how_a_file_is_sent(central: Central, teacher: str) -> None:
    lesson = await central.plan(teacher)
    await give(central, teacher, lesson, "Điện & “từ”.pdf", SLIDES)
    path = f"/api/lessons/{lesson}/materials/{digest_of(SLIDES)}"
    headers = (await central.call("GET", path, teacher)).headers
    name = "%C4%90i%E1%BB%87n%20%26%20%E2%80%9Ct%E1%BB%AB%E2%80%9D.pdf"
    assert headers["Content-Type"] == "application/pdf"
    assert headers["Content-Disposition"] == f"inline; filename*=UTF-8''{name}"
    assert headers["ETag"] == f'"{digest_of(SLIDES)}"'
    assert headers["Cache-Control"] == "private, max-age=31536000, immutable"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Access-Control-Allow-Origin"] == "*"
    saved = await central.call("GET", f"{path}?download", teacher)
    assert saved.headers["Content-Disposition"] == f"attachment; filename*=UTF-8''{name}"
    for tag in (headers["ETag"], "*", f'"x", W/{headers["ETag"]}'):
        known = await central.call("GET", path, teacher, headers={"If-None-Match": tag})
        assert (known.status, known.headers["ETag"]) == (304, headers["ETag"])


@pytest.mark.parametrize(
    ("asked", "status", "start", "end"),
    [
        ("bytes=0-0", 206, 0, 1),
        ("bytes=100-199", 206, 100, 200),
        (f"bytes={len(SLIDES) - 5}-", 206, len(SLIDES) - 5, len(SLIDES)),
        ("bytes=-7", 206, len(SLIDES) - 7, len(SLIDES)),
        (f"bytes=5-{len(SLIDES) + 9}", 206, 5, len(SLIDES)),
        (f"bytes={len(SLIDES)}-", 416, 0, 0),
        ("bytes=9-3", 416, 0, 0),
    ],
)
async def test_a_part_of_a_file(
    central: Central, teacher: str, asked: str, status: int, start: int, end: int
) -> None:
    lesson = await central.plan(teacher)
    await give(central, teacher, lesson, "a.pdf", SLIDES)
    url = f"{central.url}/api/lessons/{lesson}/materials/{digest_of(SLIDES)}"
    headers = {"Authorization": f"Bearer {teacher}", "Range": asked}
    async with central.http.get(url, headers=headers) as answer:
        assert (answer.status, await answer.read()) == (status, SLIDES[start:end])
        said = f"{start}-{end - 1}" if status == 206 else "*"
        assert answer.headers["Content-Range"] == f"bytes {said}/{len(SLIDES)}"
        if status == 206:
            assert answer.headers["ETag"] == f'"{digest_of(SLIDES)}"'


async def test_a_file_of_the_same_name_replaces_and_one_is_taken_out(
    central: Central, teacher: str
) -> None:
    lesson = await central.plan(teacher)
    path = f"/api/lessons/{lesson}/materials"
    await give(central, teacher, lesson, "a.pdf", SLIDES)
    await give(central, teacher, lesson, "b.mp4", FILM)
    answer = await give(central, teacher, lesson, "a.pdf", b"new")
    assert answer.status == 201
    assert [one["digest"] for one in answer.json["materials"]] == [
        digest_of(b"new"),
        digest_of(FILM),
    ]
    assert (await central.call("GET", f"{path}/{digest_of(SLIDES)}", teacher)).status == 404
    # The same bytes under another name are one file that is called otherwise now.
    renamed = await give(central, teacher, lesson, "c.mp4", FILM)
    assert renamed.status == 200
    assert [one["name"] for one in renamed.json["materials"]] == ["a.pdf", "c.mp4"]

    gone = await central.call("DELETE", f"{path}/{digest_of(b'new')}", teacher)
    assert (gone.status, [one["name"] for one in gone.json["materials"]]) == (200, ["c.mp4"])
    again = await central.call("DELETE", f"{path}/{digest_of(b'new')}", teacher)
    assert (again.status, again.json["type"]) == (404, "urn:classroom:problem:unknown-material")
    assert (await central.call("GET", path, teacher)).body == gone.body


async def test_a_body_of_unknown_length_is_taken_as_well(central: Central, teacher: str) -> None:
    lesson = await central.plan(teacher)

    async def chunked(data: bytes) -> AsyncIterator[bytes]:
        for at in range(0, len(data), 70_001):
            yield data[at : at + 70_001]

    path = f"/api/lessons/{lesson}/materials/{digest_of(SLIDES)}"
    answer = await central.call("PUT", f"{path}?name=a.pdf", teacher, data=chunked(SLIDES))
    assert answer.status == 201
    assert (await central.call("GET", path, teacher)).body == SLIDES


async def test_whoever_planned_a_lesson_may_change_its_files(
    central: Central, teacher: str
) -> None:
    lesson = await central.plan(teacher)
    keys = (await central.call("GET", "/api/keys")).json
    claims = Verifier(keys).verify(teacher, time.time())
    less = replace(claims, rights=frozenset({Right.WATCH}))
    signer = Signer(load_key(central.data))
    for subject, statuses in (("another", (403, 403)), (claims.subject, (201, 200))):
        token = signer.sign(replace(less, subject=subject))
        given = await give(central, token, lesson, "a.pdf", SLIDES)
        path = f"/api/lessons/{lesson}/materials/{digest_of(SLIDES)}"
        assert (given.status, (await central.call("DELETE", path, token)).status) == statuses


async def test_pages_and_relays_are_told_of_each_change(central: Central, teacher: str) -> None:
    lesson = await central.plan(teacher)
    async with relay(central) as root, page(central, teacher, lesson) as socket:
        await next_message(socket)
        for change, files in ((1, [FILM]), (2, [FILM, SLIDES]), (3, [SLIDES])):
            if change < 3:
                await give(central, teacher, lesson, f"{change}.pdf", files[-1])
            else:
                path = f"/api/lessons/{lesson}/materials/{digest_of(FILM)}"
                await central.call("DELETE", path, teacher)
            listed = await central.call("GET", f"/api/lessons/{lesson}/materials", teacher)
            assert [one["bytes"] for one in listed.json["materials"]] == [len(f) for f in files]
            digest = digest_of(listed.body)
            while (await root.heard_of(wire.RelayLessons)).lessons[0].materials != digest:
                pass
            while True:
                message = await next_message(socket)
                if isinstance(message, wire.LessonInfo) and message.materials == digest:
                    break


async def test_a_published_lesson_keeps_its_files_and_a_removed_one_does_not(
    central: Central, teacher: str
) -> None:
    published, gone = await central.plan(teacher), await central.plan(teacher)
    for lesson in (published, gone):
        await give(central, teacher, lesson, "a.pdf", SLIDES)
    async with relay(central) as root:
        await central.call("POST", f"/api/lessons/{published}/start", teacher)
        await central.call("POST", f"/api/lessons/{published}/end", teacher)
        await root.send(wire.RelayArchive(published, 1.5, 10, ("voice",)))
        while True:
            shown = (await central.call("GET", f"/api/lessons/{published}", teacher)).json
            if shown["state"] == "published":
                break
            await asyncio.sleep(0.02)
    assert (await central.call("DELETE", f"/api/lessons/{gone}", teacher)).status == 204
    path = f"/materials/{digest_of(SLIDES)}"
    file = await central.call("GET", f"/api/lessons/{published}{path}", teacher)
    assert file.body == SLIDES
    assert (await central.call("GET", f"/api/lessons/{gone}{path}", teacher)).status == 404
    # A file may come after the lesson, too.
    assert (await give(central, teacher, published, "b.mp4", FILM)).status == 201


async def test_what_no_list_names_is_swept_up_after_a_week(tmp_path: Path) -> None:
    wall = Wall()
    async with running(tmp_path / "data", wall=wall) as central:
        teacher = central.token(Role.TEACHER, days=30)
        lesson, other = await central.plan(teacher), await central.plan(teacher)
        for one in (lesson, other):
            await give(central, teacher, one, "a.pdf", SLIDES)
        await give(central, teacher, lesson, "b.mp4", FILM)
        broken = central.data / "materials" / ".upload-0123456789abcdef"
        broken.write_bytes(b"half")
        for data in (SLIDES, FILM):
            path = f"/api/lessons/{lesson}/materials/{digest_of(data)}"
            assert (await central.call("DELETE", path, teacher)).status == 200
        everything = sorted([digest_of(SLIDES), digest_of(FILM), broken.name])
        await central.sweep()
        assert kept(central) == everything
        wall.ahead = 3_700.0
        await central.sweep()
        assert kept(central) == sorted([digest_of(SLIDES), digest_of(FILM)])
        wall.ahead = 8 * 86_400.0
        await central.sweep()
        assert kept(central) == [digest_of(SLIDES)]
        path = f"/api/lessons/{other}/materials/{digest_of(SLIDES)}"
        assert (await central.call("GET", path, teacher)).body == SLIDES


async def test_old_rests_are_swept_up_at_start_but_no_files_that_records_may_have_lost(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "data" / "materials"
    folder.mkdir(parents=True)
    for name in (digest_of(FILM), ".upload-0123456789abcdef", "operators-note.txt"):
        (folder / name).write_bytes(FILM)
        os.utime(folder / name, (1e9, 1e9))
    async with running(tmp_path / "data") as central:
        left = [digest_of(FILM), "operators-note.txt"]
        await eventually(lambda: kept(central) == sorted(left))


async def test_two_that_send_the_same_file_at_once(central: Central, teacher: str) -> None:
    lessons = [await central.plan(teacher) for _ in range(2)]
    answers = await asyncio.gather(
        *(give(central, teacher, lesson, "a.pdf", SLIDES) for lesson in lessons for _ in range(4))
    )
    assert {answer.status for answer in answers} <= {200, 201}
    assert kept(central) == [digest_of(SLIDES)]
    for lesson in lessons:
        path = f"/api/lessons/{lesson}/materials/{digest_of(SLIDES)}"
        assert (await central.call("GET", path, teacher)).body == SLIDES


async def test_many_files_at_once_are_all_in_the_list(central: Central, teacher: str) -> None:
    lesson = await central.plan(teacher)
    files = [f"file {number}".encode() * 999 for number in range(12)]
    answers = await asyncio.gather(
        *(give(central, teacher, lesson, f"{n}.txt", data) for n, data in enumerate(files))
    )
    assert {answer.status for answer in answers} == {201}
    listed = (await central.call("GET", f"/api/lessons/{lesson}/materials", teacher)).json
    assert {one["digest"] for one in listed["materials"]} == {digest_of(data) for data in files}


async def test_a_file_that_was_lost_is_told_and_mended_by_sending_it_again(
    central: Central, teacher: str
) -> None:
    lesson = await central.plan(teacher)
    await give(central, teacher, lesson, "a.pdf", SLIDES)
    stored = central.data / "materials" / digest_of(SLIDES)
    path = f"/api/lessons/{lesson}/materials/{digest_of(SLIDES)}"

    def lose() -> None:
        stored.unlink()

    def tear() -> None:
        os.truncate(stored, 1_000)

    harms: list[Callable[[], None]] = [lose, tear]
    for harm in harms:
        harm()
        answer = await central.call("GET", path, teacher)
        assert (answer.status, answer.json["type"]) == (503, "urn:classroom:problem:absent")
        assert "Send it again" in answer.json["fix"]
        assert (await give(central, teacher, lesson, "a.pdf", SLIDES)).status == 200
        assert (await central.call("GET", path, teacher)).body == SLIDES


async def test_control_planes_that_share_a_directory(tmp_path: Path) -> None:
    data, shared = tmp_path / "data", tmp_path / "shared"
    with redis_server() as url:
        settings = replace(
            with_storage(data, redis_url=url), materials=MaterialSettings(dir=str(shared))
        )
        async with running(data, settings) as one, running(data, settings) as other:
            teacher = one.token(Role.TEACHER)
            lesson = await one.plan(teacher)
            async with relay(one) as root, page(other, teacher, lesson) as socket:
                await next_message(socket)
                answer = await give(other, teacher, lesson, "a.pdf", SLIDES)
                digest = digest_of(answer.body)
                while (await root.heard_of(wire.RelayLessons)).lessons[0].materials != digest:
                    pass
                while True:
                    message = await next_message(socket)
                    if isinstance(message, wire.LessonInfo) and message.materials == digest:
                        break
            path = f"/api/lessons/{lesson}/materials/{digest_of(SLIDES)}"
            assert (await one.call("GET", path, teacher)).body == SLIDES
    assert [path.name for path in shared.iterdir()] == [digest_of(SLIDES)]


async def test_killed_while_files_arrive_it_keeps_what_it_promised(tmp_path: Path) -> None:
    data = tmp_path / "data"
    promised: list[bytes] = []
    process = await start(data)
    try:
        async with aiohttp.ClientSession() as http:
            central = Central(f"http://127.0.0.1:{process.ready['port']}", data, http)
            teacher = central.token(Role.TEACHER)
            lesson = await central.plan(teacher)
            enough = asyncio.Event()

            async def give_on(sender: int) -> None:
                for number in range(5):
                    file = os.urandom(300_000)
                    name = f"{sender}-{number}.pdf"
                    assert (await give(central, teacher, lesson, name, file)).status == 201
                    promised.append(file)
                    if len(promised) >= 4:
                        enough.set()

            giving = [asyncio.create_task(give_on(sender)) for sender in range(4)]
            await enough.wait()
            await process.end(signal.SIGKILL)
            results = await asyncio.gather(*giving, return_exceptions=True)
            assert all(isinstance(one, aiohttp.ClientError) for one in results if one), results
    finally:
        if process.process.returncode is None:
            await process.end(signal.SIGKILL)
    async with running(data) as central:
        listed = await central.call("GET", f"/api/lessons/{lesson}/materials", teacher)
        shown = (await central.call("GET", f"/api/lessons/{lesson}", teacher)).json
        assert shown["materials"] == digest_of(listed.body)
        named = {one["digest"] for one in listed.json["materials"]}
        assert {digest_of(file) for file in promised} <= named
        for digest in named:
            file = await central.call("GET", f"/api/lessons/{lesson}/materials/{digest}", teacher)
            assert digest_of(file.body) == digest


async def test_metrics_tell_what_is_kept_and_refused(central: Central, teacher: str) -> None:
    lesson, other = await central.plan(teacher), await central.plan(teacher)
    for one in (lesson, other, other):
        await give(central, teacher, one, "a.pdf", SLIDES)
    await give(central, teacher, lesson, "b.mp4", FILM)
    await give(central, teacher, lesson, "b.html", FILM)
    text = (await central.call("GET", "/metrics")).body.decode()
    for line in (
        "classroom_material_files 2.0",
        f"classroom_material_bytes {float(len(SLIDES) + len(FILM))}",
        'classroom_material_uploads_total{result="kept"} 3.0',
        'classroom_material_uploads_total{result="known"} 1.0',
        'classroom_material_uploads_total{result="material-type"} 1.0',
    ):
        assert line in text


async def test_pages_may_send_files_and_show_them_from_blobs(central: Central) -> None:
    asked = {"Origin": "http://relay.example:8081", "Access-Control-Request-Method": "PUT"}
    async with central.http.options(f"{central.url}/api/lessons", headers=asked) as preflight:
        assert "PUT" in preflight.headers["Access-Control-Allow-Methods"]
        assert "Range" in preflight.headers["Access-Control-Allow-Headers"]
    headers = (await central.call("GET", "/api/keys")).headers
    assert "Content-Range" in headers["Access-Control-Expose-Headers"]
    policy = dict(
        part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";")
    )
    for name in ("img-src", "media-src", "frame-src"):
        assert "blob:" in policy[name].split()
    assert policy["object-src"] == "'none'"
