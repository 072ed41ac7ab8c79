"""A relay that is revoked in the middle of a lesson gets no more of it from its parent.

Real HTTP to the parent's service; the media process is played by the test, which notes what it is
asked.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

from aiohttp import web

from classroom.wire import RelayRevoked
from relay.ipc import RpcClient
from relay.record.recorder import Recorder
from relay.web.problems import boundary
from relay.web.signalling import SDP
from relay.web.trunks import Trunks
from tests.eventually import eventually
from tests.fakes.relay_tree import TreeRelay, lesson


class Asked(RpcClient):
    """A media process that takes every trunk."""

    def __init__(self) -> None:
        super().__init__("", notice=lambda name, parameters: None)
        self.calls: list[tuple[str, dict[str, Any]]] = []

    async def call(self, method: str, **parameters: Any) -> Any:
        self.calls.append((method, parameters))
        session = f"session-{len(self.calls)}"
        return {"session": session, "answer": "v=0", "epoch": 0, "tracks": []}


async def test_a_revoked_child_loses_its_trunk_and_others_keep_theirs(tmp_path: Path) -> None:
    async with (
        TreeRelay(tmp_path, "root") as root,
        TreeRelay(tmp_path, "bad") as bad,
        TreeRelay(tmp_path, "good") as good,
    ):
        root.hear(lesson("toan-8"))
        media = Asked()
        trunks = Trunks(
            *(root.access, media, root.lessons, root.upstream, root.line, root.children),
            root.token,
            Recorder(tmp_path),
            is_child=False,
        )
        root.revoked.observe(lambda: trunks.expel(root.revoked.message.relays))
        app = web.Application(middlewares=[boundary])
        trunks.add_routes(app)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/trunk/toan-8"
        running = asyncio.create_task(trunks.run(root.http))

        async def take(child: TreeRelay) -> int:
            headers = {"Authorization": f"Bearer {child.token()}", "Content-Type": SDP}
            async with child.http.post(url, data="v=0", headers=headers) as answer:
                return answer.status

        try:
            assert await take(bad) == 201
            assert await take(good) == 201
            root.revoked.told(RelayRevoked((bad.id,)))
            await eventually(lambda: media.calls[-1][0] == "delete")
            assert [name for name, _ in media.calls].count("delete") == 1
            assert media.calls[-1][1] == {
                "lesson": "toan-8",
                "session": "session-1",
                "role": "relay",
                "subject": bad.id,
            }
            assert await take(bad) == 403
            assert await take(good) == 201
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
            await runner.cleanup()
