"""What rooms' links took outlives both processes, and a file that is broken harms nobody."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from relay import ipc
from relay.ipc import RPC_SOCKET
from relay.media_process import MediaProcess, relay_clock
from relay.settings import MediaSettings
from relay.web import kept_rates
from relay.web.kept_rates import KeptRates, checked
from tests.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@asynccontextmanager
async def _media(directory: Path) -> AsyncIterator[MediaProcess]:
    """A media process, until its power is cut."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    process = MediaProcess(MediaSettings(udp_host="127.0.0.1", udp_port=0), directory, sock)
    running = asyncio.create_task(process.run())
    await eventually(lambda: process._sessions._tasks is not None)
    yield process
    running.cancel()
    await asyncio.wait((running,))
    for line in list(process._listeners):
        line.transport.abort()


@asynccontextmanager
async def _keeper(directory: Path, file: Path) -> AsyncIterator[KeptRates]:
    """The service's side of it."""
    rates: KeptRates
    client = ipc.RpcClient(
        str(directory / RPC_SOCKET),
        notice=lambda name, parameters: None,
        connected=lambda: rates.media_connected(),
    )
    rates = KeptRates(file, client)
    tasks = [asyncio.create_task(client.run()), asyncio.create_task(rates.run())]
    yield rates
    for task in tasks:
        assert not task.done() or task.exception() is None
        task.cancel()
    await asyncio.wait(tasks)


async def _until_starts_with(process: MediaProcess, subject: str, bitrate: float) -> None:
    rates = process._sessions._remembered
    await eventually(lambda: rates.start(subject, relay_clock()) == bitrate)


async def test_a_room_is_remembered_by_a_media_process_after_the_one_that_knew_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_rates, "KEEP_EVERY", 0.05)
    file = tmp_path / "rates.json"
    async with _keeper(tmp_path, file):
        async with _media(tmp_path) as first:
            first._sessions._remembered.note("room-7", 300_000.0, relay_clock())
            await eventually(file.exists)
        async with _media(tmp_path) as second:
            await _until_starts_with(second, "room-7", 240_000.0)
    # And after a power cut that took both.
    async with _keeper(tmp_path, file), _media(tmp_path) as third:
        await _until_starts_with(third, "room-7", 240_000.0)


async def test_a_media_process_that_was_not_told_yet_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever comes first, its connection or the time to keep."""
    monkeypatch.setattr(kept_rates, "KEEP_EVERY", 0.0)
    file = tmp_path / "rates.json"
    kept = {"room-7": [300_000.0, relay_clock()]}
    file.write_text(json.dumps(kept))
    async with _keeper(tmp_path, file):
        for _ in range(5):
            async with _media(tmp_path) as process:
                await _until_starts_with(process, "room-7", 300_000.0)
    assert json.loads(file.read_text()) == kept


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\x00",
        b"[]",
        b"[" * 100_000,
        b'{"room": 7}',
        b'{"room": [-5, 0]}',
        b'{"room": [1e300, 0]}',
        b'{"room": [60000, 1e999]}',
        b'{"room": [60000, NaN]}',
        b'{"room": ["fast", 0]}',
        b'{"room": [60000, ' + b"9" * 400 + b"]}",
        rb'{"room \ud800": [60000, 0]}',
        b" " * (9 << 20),
    ],
)
async def test_a_broken_file_is_as_good_as_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    file = tmp_path / "rates.json"
    file.write_bytes(content)
    async with _keeper(tmp_path, file), _media(tmp_path) as media:
        await eventually(lambda: "rates-unreadable" in caplog.messages)
        assert media._sessions._remembered.known() == {}


def test_as_many_rooms_as_are_remembered_fit() -> None:
    rate = (1e6 / 3, 1.7e9 + 1 / 3)
    many = {f"{number:04}" + "\U0001f3eb" * 196: rate for number in range(5_000)}
    text = json.dumps(many, ensure_ascii=False)
    assert checked(json.loads(text)) == many
    assert len(text.encode()) < kept_rates._FILE_MOST
    with pytest.raises(ValueError, match="not a table"):
        checked({**many, "one more": (1.0, 1.0)})
