"""The relay's media process alone, behind the smallest HTTP front that WHIP and WHEP need.

Lives here: starting the real media process as a child, and passing offers on to it without
tokens, rooms or recordings. Must not live here: anything that the relay's own service does
differently; this front is for tests and measurements of media only.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from classroom.errors import Absent, Refused, problem
from relay.ipc import RPC_SOCKET, RpcClient
from relay.settings import MediaSettings

_START: Final = """
import asyncio, sys
from pathlib import Path
from relay.media_process import serve
from relay.node import open_udp
from relay.settings import MediaSettings
settings = MediaSettings(udp_host="127.0.0.1", udp_port=0, viewers_max=2000,
                         beat_seconds=float(sys.argv[2]), start_bitrate=float(sys.argv[3]))
asyncio.run(serve(settings, Path(sys.argv[1]), open_udp(settings.udp_host, 0)))
"""


class MediaFront:
    """`whip(lesson)` and `whep(lesson)` are its addresses; `call` speaks to the process itself."""

    def __init__(self) -> None:
        self.base = ""
        self.process: asyncio.subprocess.Process | None = None
        self._rpc: RpcClient | None = None

    @contextlib.asynccontextmanager
    async def running(
        self,
        folder: Path,
        *,
        beat: float = MediaSettings.beat_seconds,
        start_bitrate: float = 5_000_000.0,
    ) -> AsyncIterator[MediaFront]:
        """Run both until the block ends; sockets are made in `folder`."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _START, str(folder), str(beat), str(start_bitrate)
        )
        self.process = process
        self._rpc = RpcClient(str(folder / RPC_SOCKET), notice=lambda kind, status: None)
        calls = asyncio.ensure_future(self._rpc.run())
        app = web.Application()
        app.router.add_post("/{method:whip|whep}/{lesson}", self._offer)
        app.router.add_delete("/{method:whip|whep}/{lesson}/{session}", self._delete)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
        self.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            async with asyncio.timeout(20):
                while not self._rpc.is_connected:  # noqa: ASYNC110 the client tells no one
                    await asyncio.sleep(0.02)
            yield self
        finally:
            await runner.cleanup()
            calls.cancel()
            await asyncio.gather(calls, return_exceptions=True)
            if process.returncode is None:
                process.terminate()
            await process.wait()

    def whip(self, lesson: str) -> str:
        """Where to publish `lesson`."""
        return f"{self.base}/whip/{lesson}"

    def whep(self, lesson: str) -> str:
        """Where to watch `lesson`."""
        return f"{self.base}/whep/{lesson}"

    async def call(self, method: str, **parameters: Any) -> Any:
        """One call of the media process: "status", "statistics", …."""
        assert self._rpc is not None
        return await self._rpc.call(method, **parameters)

    async def _offer(self, request: web.Request) -> web.Response:
        whip = request.match_info["method"] == "whip"
        subject = request.headers.get("Authorization", "Bearer someone").removeprefix("Bearer ")
        try:
            made = await self.call(
                "publish" if whip else "watch",
                lesson=request.match_info["lesson"],
                subject=subject,
                text=await request.text(),
            )
        except (Refused, Absent) as error:
            body = problem(error)
            return web.json_response(
                body, status=int(str(body["status"])), content_type="application/problem+json"
            )
        return web.Response(
            status=201,
            text=made["answer"],
            content_type="application/sdp",
            headers={"Location": f"{request.path}/{made['session']}", "ETag": made["etag"]},
        )

    async def _delete(self, request: web.Request) -> web.Response:
        whip = request.match_info["method"] == "whip"
        subject = request.headers.get("Authorization", "Bearer someone").removeprefix("Bearer ")
        with contextlib.suppress(Refused):
            await self.call(
                "delete",
                lesson=request.match_info["lesson"],
                session=request.match_info["session"],
                role="publisher" if whip else "viewer",
                subject=subject,
            )
        return web.Response()
