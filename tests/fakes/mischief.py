"""What a source may do instead of answering: break off, dawdle, send rubbish or no end.

Each is put before the real routes of a relay (`tests.fakes.offering_relay`). Not here: assertions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import aiohttp
from aiohttp import web

from tests.fakes.offering_relay import Handler, Mischief


def cut_after(size: int) -> Mischief:
    """The connection breaks once, after so many bytes of recordings."""
    cuts = [size]

    async def mischief(request: web.Request, handler: Handler) -> web.StreamResponse | None:
        if not request.path.endswith("/bytes") or not cuts:
            return None
        cut = cuts.pop()
        whole = await read_through(request, handler)
        response = web.StreamResponse()
        response.content_length = len(whole)
        await response.prepare(request)
        await response.write(whole[:cut])
        await asyncio.sleep(0.05)
        assert request.transport is not None
        request.transport.close()
        return response

    return mischief


async def slowly(request: web.Request, handler: Handler) -> web.StreamResponse | None:
    """A link of some hundred kB/s."""
    if not request.path.endswith("/bytes"):
        return None
    whole = await read_through(request, handler)
    response = web.StreamResponse()
    response.content_length = len(whole)
    await response.prepare(request)
    for first in range(0, len(whole), 10_000):
        await response.write(whole[first : first + 10_000])
        await asyncio.sleep(0.02)
    return response


async def read_through(request: web.Request, handler: Handler) -> bytes:
    """What the relay would have answered."""
    url = f"http://{request.host}{request.path_qs}"
    headers = {"Authorization": request.headers["Authorization"], "X-Through": "1"}
    async with aiohttp.ClientSession() as http, http.get(url, headers=headers) as answer:
        return await answer.read()


def answering(change: Callable[[bytes], web.Response]) -> Mischief:
    async def mischief(request: web.Request, handler: Handler) -> web.StreamResponse | None:
        if not request.path.endswith("/bytes"):
            return None
        return change(await read_through(request, handler))

    return mischief


async def endless(request: web.Request, handler: Handler) -> web.StreamResponse | None:
    if not request.path.endswith("/bytes"):
        return None
    response = web.StreamResponse()
    response.content_length = 1 << 40
    await response.prepare(request)
    while request.transport is not None and not request.transport.is_closing():
        await response.write(bytes(65_536))
    return response


async def no_length(request: web.Request, handler: Handler) -> web.StreamResponse | None:
    if not request.path.endswith("/bytes"):
        return None
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b"x" * 100)
    return response


async def garbled(request: web.Request, handler: Handler) -> web.StreamResponse | None:
    if not request.path.endswith("/bytes"):
        return None
    assert request.transport is not None
    request.transport.write(b"NONSENSE\r\n\r\n" * 100)
    request.transport.close()
    return web.Response()


MISCHIEFS: dict[str, Mischief] = {
    "lies": answering(lambda body: web.Response(body=bytes(len(body)))),
    "short": answering(lambda body: web.Response(body=body[: len(body) // 3])),
    "wrong_status": answering(lambda body: web.Response(status=302, headers={"Location": "/"})),
    "endless": endless,
    "garbled": garbled,
    "no_length": no_length,
}
