"""Who gets in while the control plane's keys change: one fetch serves all who wait for it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from time import time

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from classroom.accounts import LinkOrder, claims_for
from classroom.tokens import Right, Role, Signer, generate_key
from relay.web.access import HTTP, Access
from relay.web.problems import boundary


async def test_all_who_wait_for_a_new_key_get_in_with_it(tmp_path: Path) -> None:
    old, new = Signer(generate_key()), Signer(generate_key())
    (tmp_path / "keys.json").write_text(json.dumps(old.jwks()))
    asked = 0
    waiting = asyncio.Event()

    async def keys(request: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        await waiting.wait()
        return web.json_response(new.jwks())

    async def who(request: web.Request) -> web.Response:
        claims = await access.check(request, Right.WATCH, None)
        return web.json_response(claims.name)

    above = web.Application()
    above.router.add_get("/api/keys", keys)
    here = web.Application(middlewares=[boundary])
    here.router.add_get("/who", who)
    order = LinkOrder(Role.ROOM, "*", "5A", 365)
    token = new.sign(claims_for(order, token_id="a", now=time()))
    async with TestServer(above) as central, aiohttp.ClientSession() as http:
        access = Access(str(central.make_url("/")), tmp_path / "keys.json")
        here[HTTP] = http
        async with TestServer(here) as relay:

            async def ask() -> int:
                headers = {"Authorization": f"Bearer {token}"}
                async with http.get(relay.make_url("/who"), headers=headers) as answer:
                    return answer.status

            await access.start(http)
            asking = [asyncio.create_task(ask()) for _ in range(3)]
            done, _ = await asyncio.wait(asking, timeout=0.1)
            assert not done
            waiting.set()
            assert await asyncio.gather(*asking) == [200, 200, 200]
    assert asked == 1
