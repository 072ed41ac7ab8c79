"""Calls between the two processes on a Unix socket: answers, refusals, a far end that dies."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from classroom.errors import Absent, Refused
from relay import ipc
from tests.relay.fuzzing import FUZZ


class Far:
    """The answering process: echoes, refuses, is away, meets a bug, or says nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.writers: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None
        self._handling: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self.path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, self.path)

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self.writers:
            writer.close()
        self.writers.clear()
        for task in self._handling:
            task.cancel()
        await asyncio.gather(*self._handling, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._handling.add(task)
        self.writers.append(writer)
        try:
            await ipc.serve_connection(reader, writer, self._answer)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, method: str, parameters: dict[str, Any]) -> Any:
        match method:
            case "echo":
                return parameters
            case "refuse":
                raise Refused(409, "lesson-taken", "Taken.", fix="Wait.", field="lesson")
            case "away":
                raise Absent("Nobody.", fix="Wait.", retry_after=7.0)
            case "hang":
                await asyncio.Event().wait()
        raise KeyError(method)


class Client(ipc.RpcClient):
    """The calling process; counts its connections."""

    def __init__(self, path: Path, notices: list[tuple[str, dict[str, Any]]]) -> None:
        self._connections = asyncio.Queue[None]()
        super().__init__(
            str(path),
            notice=lambda *told: notices.append(told),
            connected=lambda: self._connections.put_nowait(None),
        )

    async def connection(self) -> None:
        """Wait for the next connection to stand."""
        async with asyncio.timeout(5):
            await self._connections.get()


@pytest.fixture
async def notices() -> list[tuple[str, dict[str, Any]]]:
    return []


@pytest.fixture
async def far(tmp_path: Path) -> AsyncIterator[Far]:
    process = Far(tmp_path / "far.sock")
    await process.start()
    yield process
    await process.stop()


@pytest.fixture
async def client(far: Far, notices: list[tuple[str, dict[str, Any]]]) -> AsyncIterator[Client]:
    calling = Client(far.path, notices)
    running = asyncio.create_task(calling.run())
    await calling.connection()
    yield calling
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def test_calls_are_answered_each_with_its_own_answer(client: Client) -> None:
    answers = await asyncio.gather(*(client.call("echo", number=n) for n in range(50)))
    assert answers == [{"number": n} for n in range(50)]


async def test_a_refusal_arrives_as_it_was(client: Client) -> None:
    with pytest.raises(Refused) as caught:
        await client.call("refuse")
    error = caught.value
    assert (error.status, error.code, error.detail) == (409, "lesson-taken", "Taken.")
    assert (error.fix, error.field) == ("Wait.", "lesson")


async def test_an_absence_arrives_as_it_was(client: Client) -> None:
    with pytest.raises(Absent) as caught:
        await client.call("away")
    assert (caught.value.what, caught.value.retry_after) == ("Nobody.", 7.0)


async def test_a_call_that_meets_a_bug_costs_no_other(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.CRITICAL, "relay.ipc"), pytest.raises(Refused) as caught:
        await client.call("nonsense")
    assert (caught.value.status, caught.value.code) == (500, "internal-error")
    assert await client.call("echo", still=True) == {"still": True}


async def test_whoever_waits_when_the_far_process_dies_is_told(client: Client, far: Far) -> None:
    waiting = asyncio.create_task(client.call("hang"))
    await asyncio.sleep(0.05)
    far.writers[0].transport.abort()
    with pytest.raises(Absent):
        await waiting


async def test_the_caller_connects_again_by_itself(client: Client, far: Far) -> None:
    far.writers.pop().transport.abort()
    await client.connection()
    assert await client.call("echo", again=1) == {"again": 1}


async def test_a_caller_without_a_far_process_is_told_at_once(tmp_path: Path) -> None:
    client = ipc.RpcClient(str(tmp_path / "nobody.sock"), notice=lambda *told: None)
    with pytest.raises(Absent) as caught:
        await client.call("echo")
    assert caught.value.retry_after > 0


async def test_notices_need_no_answer(
    client: Client, far: Far, notices: list[tuple[str, dict[str, Any]]]
) -> None:
    ipc.write_frame(far.writers[0], [2, "lesson", {"lesson": "physics"}])
    assert await client.call("echo") == {}
    assert notices == [("lesson", {"lesson": "physics"})]


@pytest.mark.parametrize(
    "body",
    [b"", b"\xc1", msgpack.packb({}), msgpack.packb([]), msgpack.packb([2, "lesson"]), b"\x01\x01"],
)
async def test_rubbish_ends_the_connection_and_nothing_else(
    client: Client, far: Far, body: bytes
) -> None:
    far.writers.pop().write(struct.pack("!I", len(body)) + body)
    await client.connection()
    assert await client.call("echo") == {}


async def test_a_frame_of_absurd_length_is_not_waited_for(client: Client, far: Far) -> None:
    far.writers.pop().write(struct.pack("!I", ipc.MAX_FRAME + 1))
    await client.connection()


@FUZZ
@given(st.binary(max_size=100))
def test_only_connection_errors_leave_the_reader(body: bytes) -> None:
    async def read() -> None:
        reader = asyncio.StreamReader()
        reader.feed_data(struct.pack("!I", len(body)) + body)
        reader.feed_eof()
        with contextlib.suppress(ConnectionError):
            assert isinstance(await ipc.read_frame(reader), list)

    asyncio.run(read())
