"""The service takes the media process's notices of what rooms receive; metrics tell of them.

The service is the real one, on real sockets; the media process is its socket alone, with notices
made by hand.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from classroom.errors import Absent
from classroom.wire import LessonInfo, LessonState, Recording
from relay import ipc
from relay.ipc import FEED_SOCKET, RPC_SOCKET
from relay.service import Service
from relay.settings import RelaySettings
from relay.web import voice_wish
from tests.relay.test_rungs import notice

LIVE = LessonInfo("toan-8", "Toán 8", "", LessonState.LIVE, False, (), 0, Recording(), 1e9)


async def test_notices_of_rooms_reach_the_metrics_and_end_with_the_media_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(voice_wish, "_POOR_SECONDS", 0.0)
    lines: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()

    async def refuse(method: str, parameters: dict[str, Any]) -> Any:
        raise Absent("No media here.", fix="None.")

    async def rpc(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines.put_nowait(writer)
        await ipc.serve_connection(reader, writer, refuse)
        writer.close()

    async def feed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    media = await asyncio.start_unix_server(rpc, tmp_path / RPC_SOCKET)
    records = await asyncio.start_unix_server(feed, tmp_path / FEED_SOCKET)
    settings = RelaySettings(data=str(tmp_path / "data"), central="http://127.0.0.1:9")
    service = Service(settings, "http://127.0.0.1:9", tmp_path, restarts=0)
    runner = web.AppRunner(service.application(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        metrics = f"http://127.0.0.1:{runner.addresses[0][1]}/metrics"
        async with asyncio.timeout(20), aiohttp.ClientSession() as http:

            async def until(line: str) -> None:
                while True:
                    async with http.get(metrics) as response:
                        if line in (await response.text()).splitlines():
                            return
                    await asyncio.sleep(0.05)

            async def wishes_for(*lessons: str) -> None:
                while True:
                    if service.central.wishes.keys() == set(lessons):
                        return
                    await asyncio.sleep(0.05)

            service.lessons.told([LIVE])
            line = await lines.get()
            ipc.write_frame(line, [2, "rung", notice("room-1", "stills")])
            ipc.write_frame(line, [2, "rung", notice("room-2", "full", new_key=[1])])
            ipc.write_frame(line, [2, "rung", notice("room-2", "small", lesson="van-8")])
            ipc.write_frame(line, [2, "rung", {"lesson": "toan-8"}])
            ipc.write_frame(line, [2, "rung", notice("room-2", "stills")])
            await until('relay_room_rungs{rung="stills"} 2.0')
            await until('relay_room_rungs{rung="full"} 0.0')
            await until('relay_room_rung_changes_total{rung="stills"} 2.0')
            await wishes_for("toan-8", "van-8")
            line.close()
            line = await lines.get()
            await until('relay_room_rungs{rung="stills"} 0.0')
            # The lesson that goes on is remembered without its rooms.
            await wishes_for("toan-8")
            ipc.write_frame(line, [2, "rung", notice("room-3", "voice")])
            await until('relay_room_rungs{rung="voice"} 1.0')
    finally:
        await runner.cleanup()
        media.close()
        records.close()
