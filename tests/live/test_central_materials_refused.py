"""What the control plane refuses of files for lessons, and that nothing of it stays on the disk.

Every answer is held against the OpenAPI document and the form of problems by the caller in
`central`. What is taken is tested in `test_central_materials`.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote, urlsplit

import pytest

from classroom.archive.materials import MAX_MATERIALS, MAX_NAME
from classroom.settings import Materials, Settings
from classroom.tokens import Role
from classroom.web import materials
from tests.eventually import eventually
from tests.live.central import Answer, Central, running

DATA = b"%PDF-1.7 slides" * 100
DIGEST = hashlib.sha256(DATA).hexdigest()
MB = 10**6


@pytest.fixture
async def central(tmp_path: Path) -> AsyncIterator[Central]:
    settings = Settings(materials=Materials(file_mb=1, lesson_mb=2))
    async with running(tmp_path / "data", settings) as central:
        yield central


@pytest.fixture
def teacher(central: Central) -> str:
    return central.token(Role.TEACHER)


@pytest.fixture
async def lesson(central: Central, teacher: str) -> str:
    return await central.plan(teacher, id="vat-ly-9")


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def place(digest: str = DIGEST, name: str = "a.pdf", lesson: str = "vat-ly-9") -> str:
    return f"/api/lessons/{lesson}/materials/{digest}?name={quote(name)}"


def kept(central: Central) -> list[str]:
    return sorted(path.name for path in (central.data / "materials").iterdir())


def code(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.json["type"].removeprefix("urn:classroom:problem:")


async def nothing_came_of_it(
    central: Central, token: str, caplog: pytest.LogCaptureFixture
) -> None:
    await eventually(lambda: kept(central) == [])
    listed = await central.call("GET", "/api/lessons/vat-ly-9/materials", token)
    assert listed.json["materials"] == []
    assert [record for record in caplog.records if record.exc_info] == []


async def chunks(data: bytes, pause: asyncio.Event | None = None) -> AsyncIterator[bytes]:
    """`data` without its length; half of it before `pause` is set."""
    half = len(data) // 2
    yield data[:half]
    if pause is not None:
        await pause.wait()
    yield data[half:]


async def test_who_may_not(central: Central, teacher: str, lesson: str) -> None:
    assert (await central.call("PUT", place(), teacher, data=DATA)).status == 201
    listed, one = f"/api/lessons/{lesson}/materials", place().partition("?")[0]
    other = central.token(Role.TEACHER, "toan-8")
    room, viewer = central.token(Role.ROOM), central.token(Role.VIEWER, lesson)
    asked = [("GET", listed), ("GET", one), ("PUT", place()), ("DELETE", one)]
    for method, path in asked:
        answer = await central.call(method, path)
        assert code(answer) == (401, "token-missing")
        assert code(await central.call(method, path, other)) == (403, "wrong-lesson")
    for method, path in asked[2:]:
        for token in (room, viewer, central.token(Role.RELAY)):
            answer = await central.call(method, path, token, data=DATA)
            assert code(answer) == (403, "right-missing")
    assert (await central.call("GET", one, room)).body == DATA


async def test_a_lesson_that_is_not_there(central: Central, teacher: str) -> None:
    for unknown in ("van-7", "No%20Lesson", "..%2fkeys"):
        one = place(lesson=unknown)
        for method in ("GET", "PUT", "DELETE"):
            answer = await central.call(method, one, teacher, data=DATA)
            assert code(answer) == (404, "lesson-unknown")
        listed = await central.call("GET", f"/api/lessons/{unknown}/materials", teacher)
        assert code(listed) == (404, "lesson-unknown")
    assert kept(central) == []


async def test_a_lesson_that_is_removed_while_its_file_arrives(
    central: Central, teacher: str, lesson: str
) -> None:
    pause = asyncio.Event()
    sending = asyncio.create_task(central.call("PUT", place(), teacher, data=chunks(DATA, pause)))
    await eventually(lambda: kept(central))
    assert (await central.call("DELETE", f"/api/lessons/{lesson}", teacher)).status == 204
    pause.set()
    assert code(await sending) == (404, "lesson-unknown")
    await eventually(lambda: kept(central) == [])


@pytest.mark.parametrize(
    "digest",
    [
        "..%2f..%2fkeys%2fed25519.pem",
        "%2e%2e",
        "..%5c" + "a" * 61,
        DIGEST[:-1],
        DIGEST + "0",
        DIGEST.upper(),
        DIGEST + "%00",
        "%2fetc%2fpasswd",
        ".upload-0123456789abcdef",
        "x" * 3_000,
    ],
)
async def test_an_address_that_is_no_digest(
    central: Central, teacher: str, lesson: str, digest: str
) -> None:
    # What `%2e%2e` leads out of is the lesson itself: there nothing can be put.
    known = {(400, "material-digest"), (404, "not-found"), (405, "method-not-allowed")}
    for _ in range(2):
        answer = await central.call("PUT", place(digest), teacher, data=DATA)
        assert code(answer) in known
        if answer.status == 400:
            # Said before anything is written.
            assert "SHA-256" in answer.json["detail"]
        one = place(digest).partition("?")[0]
        for method in ("GET", "DELETE"):
            answer = await central.call(method, one, teacher)
            if "%2e%2e" not in digest:
                assert code(answer) == (404, "unknown-material")
            assert b"PRIVATE KEY" not in answer.body
        assert kept(central) == []


@pytest.mark.parametrize(
    ("query", "status", "problem"),
    [
        ("", 400, "material-name"),
        ("name=", 400, "material-name"),
        ("name=%20%20", 400, "material-name"),
        ("name=a%2fb.pdf", 400, "material-name"),
        ("name=..%5ca.pdf", 400, "material-name"),
        ("name=.pdf", 400, "material-name"),
        ("name=a%00.pdf", 400, "material-name"),
        ("name=a%0a.pdf", 400, "material-name"),
        ("name=a%e2%80%aefdp.pdf", 400, "material-name"),
        (f"name={'x' * MAX_NAME}.pdf", 400, "material-name"),
        ("name=a", 415, "material-type"),
        ("name=a.html", 415, "material-type"),
        ("name=a.pdf.svg", 415, "material-type"),
        ("name=a.exe", 415, "material-type"),
    ],
)
async def test_a_name_that_cannot_be(
    central: Central,
    teacher: str,
    lesson: str,
    query: str,
    status: int,
    problem: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = place().partition("?")[0]
    answer = await central.call("PUT", f"{path}?{query}", teacher, data=DATA)
    assert (*code(answer), answer.json["field"]) == (status, problem, "name")
    await nothing_came_of_it(central, teacher, caplog)


async def test_bytes_that_are_others(
    central: Central, teacher: str, lesson: str, caplog: pytest.LogCaptureFixture
) -> None:
    for data in (DATA + b"x", DATA[:-1], b"x" * len(DATA)):
        answer = await central.call("PUT", place(), teacher, data=data)
        assert code(answer) == (400, "material-digest")
        assert "again" in answer.json["fix"]
    await nothing_came_of_it(central, teacher, caplog)


async def test_a_wrong_repetition_leaves_what_is_there(
    central: Central, teacher: str, lesson: str
) -> None:
    assert (await central.call("PUT", place(), teacher, data=DATA)).status == 201
    assert code(await central.call("PUT", place(), teacher, data=b"other")) == (
        400,
        "material-digest",
    )
    assert (await central.call("GET", place().partition("?")[0], teacher)).body == DATA


async def test_nobody_gets_a_file_of_another_lesson_by_its_digest_alone(
    central: Central, teacher: str, lesson: str
) -> None:
    await central.call("PUT", place(), teacher, data=DATA)
    other = central.token(Role.TEACHER, "toan-8")
    await central.call("POST", "/api/lessons", other, json={"title": "Toán", "id": "toan-8"})
    path = place(lesson="toan-8")
    assert code(await central.call("PUT", path, other)) == (400, "material-empty")
    assert code(await central.call("PUT", path, other, data=b"?")) == (400, "material-digest")
    assert code(await central.call("GET", path.partition("?")[0], other)) == (
        404,
        "unknown-material",
    )


async def test_an_empty_file(
    central: Central, teacher: str, lesson: str, caplog: pytest.LogCaptureFixture
) -> None:
    empty = place(digest_of(b""))
    for data in (None, b"", chunks(b"")):
        answer = await central.call("PUT", empty, teacher, data=data)
        assert code(answer) == (400, "material-empty")
    await nothing_came_of_it(central, teacher, caplog)


async def test_a_file_that_is_too_large(
    central: Central, teacher: str, lesson: str, caplog: pytest.LogCaptureFixture
) -> None:
    data = b"x" * (MB + 1)
    for body in (data, chunks(data)):
        answer = await central.call("PUT", place(digest_of(data)), teacher, data=body)
        assert code(answer) == (413, "material-too-large")
        assert "1 MB" in answer.json["detail"]
    await nothing_came_of_it(central, teacher, caplog)
    exact = data[:-1]
    answer = await central.call("PUT", place(digest_of(exact)), teacher, data=chunks(exact))
    assert answer.status == 201


async def test_a_large_file_is_refused_before_it_is_sent(
    central: Central, teacher: str, lesson: str
) -> None:
    head = request_head(central, teacher, f"Content-Length: {10**12}")
    answer = await by_hand(central, head)
    assert answer.startswith(b"HTTP/1.1 413 ")


async def test_a_list_that_is_full(central: Central, teacher: str, lesson: str) -> None:
    for number in range(MAX_MATERIALS):
        data = f"file {number}".encode()
        answer = await central.call(
            "PUT", place(digest_of(data), f"{number}.txt"), teacher, data=data
        )
        assert answer.status == 201
    for body in (DATA, chunks(DATA)):
        answer = await central.call("PUT", place(), teacher, data=body)
        assert code(answer) == (409, "materials-full")
    # One in the place of another still goes.
    assert (await central.call("PUT", place(name="3.txt"), teacher, data=DATA)).status == 201
    assert len(kept(central)) == MAX_MATERIALS + 1


async def test_a_lesson_with_its_most_bytes(central: Central, teacher: str, lesson: str) -> None:
    for number in range(2):
        data = bytes([number]) * MB
        answer = await central.call(
            "PUT", place(digest_of(data), f"{number}.pdf"), teacher, data=data
        )
        assert answer.status == 201
    for body in (DATA, chunks(DATA)):
        answer = await central.call("PUT", place(), teacher, data=body)
        assert code(answer) == (409, "materials-full")
        assert "2 MB" in answer.json["detail"]
    assert len(kept(central)) == 2


async def test_a_list_that_filled_while_the_file_arrived(
    central: Central, teacher: str, lesson: str
) -> None:
    pause = asyncio.Event()
    sending = asyncio.create_task(central.call("PUT", place(), teacher, data=chunks(DATA, pause)))
    await eventually(lambda: kept(central))
    for number in range(2):
        data = bytes([number]) * MB
        await central.call("PUT", place(digest_of(data), f"{number}.pdf"), teacher, data=data)
    pause.set()
    assert code(await sending) == (409, "materials-full")
    assert len(kept(central)) == 2


def request_head(central: Central, token: str, *more: str) -> bytes:
    host = urlsplit(central.url).netloc
    lines = [f"PUT {place()} HTTP/1.1", f"Host: {host}", f"Authorization: Bearer {token}", *more]
    return "\r\n".join((*lines, "", "")).encode()


async def by_hand(central: Central, sent: bytes, then: bytes | None = None) -> bytes:
    """Send these bytes; the first line of the answer. then: what follows when the file is being
    written, b"" to break off there."""
    address = urlsplit(central.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        writer.write(sent)
        if then is not None:
            await eventually(lambda: kept(central))
            if not then:
                return b""
            writer.write(then)
        return await reader.readline()
    finally:
        writer.close()


async def test_a_body_that_breaks_off_leaves_nothing_and_is_sent_again(
    central: Central, teacher: str, lesson: str, caplog: pytest.LogCaptureFixture
) -> None:
    half = DATA[: len(DATA) // 2]
    for head, body in (
        (f"Content-Length: {len(DATA)}", half),
        ("Transfer-Encoding: chunked", b"%x\r\n%b\r\n" % (len(half), half)),
    ):
        await by_hand(central, request_head(central, teacher, head) + body, b"")
        await nothing_came_of_it(central, teacher, caplog)
    assert (await central.call("PUT", place(), teacher, data=DATA)).status == 201


@pytest.mark.parametrize(
    ("head", "body", "then"),
    [
        (f"Content-Length: {len(DATA)}", DATA[:100], None),
        # The library reads no further, and says so to its log alone.
        ("Transfer-Encoding: chunked", b"5\r\nhello\r\n", b"zz\r\n"),
    ],
    ids=["nothing more comes", "no HTTP any more"],
)
async def test_a_body_that_stalls_is_ended(
    central: Central,
    teacher: str,
    lesson: str,
    head: str,
    body: bytes,
    then: bytes | None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(materials, "_STALL_S", 0.2)
    answer = await by_hand(central, request_head(central, teacher, head) + body, then)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert {record.name for record in caplog.records if record.exc_info} <= {"aiohttp.server"}
    caplog.clear()
    await nothing_came_of_it(central, teacher, caplog)


async def test_a_disk_that_is_full_before_or_while_a_file_is_written(
    central: Central,
    teacher: str,
    lesson: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    write = os.write

    def full(descriptor: int, data: bytes) -> int:
        if bytes(data[:8]) == DATA[:8]:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data)

    for name, instead in (
        ("write", full),
        ("statvfs", lambda _: SimpleNamespace(f_bavail=1_000, f_frsize=4096)),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(os, name, instead)
            answer = await central.call("PUT", place(), teacher, data=DATA)
            assert code(answer) == (507, "disk-full")
            assert "free space" in answer.json["fix"]
        await nothing_came_of_it(central, teacher, caplog)
    assert (await central.call("PUT", place(), teacher, data=DATA)).status == 201
