"""The application: makes the store, the desk and the hub, owns their tasks, and routes requests.

`make_app` wires; `routes` is the one list of addresses. Resources live in cleanup contexts, and
background work in one task group: if a part of it fails by a bug, the process ends with it and its
supervisor starts it anew, which is honest; connections come back by themselves.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from aiohttp import web

import client_web
from classroom import clock
from classroom.settings import Settings
from classroom.store import (
    Blobs,
    LiveState,
    MemoryLiveState,
    Records,
    RedisLiveState,
    load_or_create_key,
)
from classroom.tokens import Signer, Verifier
from classroom.web import api, health, materials, openapi, pages, problems, schools, sockets
from classroom.web.context import CONTEXT, Context
from classroom.web.desk import Desk
from classroom.web.hub import Hub
from classroom.web.materials_sweep import Sweeper
from classroom.web.metrics import Metrics
from classroom.web.tree import Tree


def make_app(
    settings: Settings,
    *,
    dist: Path = client_web.DIST,
    wall: clock.Clock = clock.wall,
    monotonic: clock.Clock = clock.monotonic,
) -> web.Application:
    """The control plane as an aiohttp application; raises Misuse for settings that cannot be."""
    signer = Signer(load_or_create_key(settings.data))
    records = Records(settings.storage.database_url, settings.data)
    blobs = Blobs(settings.materials_folder)
    live = _live_state(settings)
    metrics = Metrics()
    desk = Desk(records, live, settings.lessons, metrics, wall, monotonic)
    tree = Tree(records, live, wall)
    hub = Hub(desk, live, tree, settings.lessons.relay_lost_s)
    app = web.Application(
        middlewares=[problems.problems(metrics)],
        client_max_size=settings.server.body_limit_kib * 1024,
    )
    app[CONTEXT] = Context(
        settings=settings,
        signer=signer,
        verifier=Verifier(signer.jwks()),
        records=records,
        blobs=blobs,
        live=live,
        desk=desk,
        hub=hub,
        tree=tree,
        metrics=metrics,
        wall=wall,
        monotonic=monotonic,
        pages=dist,
    )
    app[schools.GATE] = schools.Gate()
    app.add_routes(routes())
    app.on_response_prepare.append(problems.add_headers)
    app.on_shutdown.append(_stop_connections)
    app.cleanup_ctx.extend([_store, _background])
    return app


def routes() -> list[web.RouteDef]:
    """Every address; `openapi` describes those under /api and the two for operators."""
    return [
        web.get("/api/keys", api.keys),
        web.get("/api/me", api.me),
        web.get("/api/lessons", api.list_lessons),
        web.post("/api/lessons", api.create_lesson),
        web.get("/api/lessons/{lesson}", api.get_lesson),
        web.delete("/api/lessons/{lesson}", api.remove_lesson),
        web.post("/api/lessons/{lesson}/start", api.start_lesson),
        web.post("/api/lessons/{lesson}/end", api.end_lesson),
        web.post("/api/lessons/{lesson}/links", api.create_link),
        web.get("/api/relays", api.list_relays),
        *materials.routes(),
        *schools.routes(),
        web.get("/api/events", sockets.events),
        web.get("/api/relay", sockets.relay),
        web.get("/api/openapi.json", openapi.document),
        web.get("/healthz", health.healthz),
        web.get("/metrics", health.metrics),
        *pages.routes(),
    ]


def _live_state(settings: Settings) -> LiveState:
    ttl_s = settings.lessons.relay_lost_s
    if settings.storage.redis_url:
        return RedisLiveState(settings.storage.redis_url, ttl_s)
    return MemoryLiveState(ttl_s)


async def _store(app: web.Application) -> AsyncIterator[None]:
    context = app[CONTEXT]
    await context.records.prepare()
    yield
    await context.live.close()
    await context.records.close()


async def _background(app: web.Application) -> AsyncIterator[None]:
    context = app[CONTEXT]
    sweeper = Sweeper(context.blobs, context.records.materials, context.wall)
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(context.hub.run(), name="hub"),
            group.create_task(context.hub.renew(), name="renew"),
            group.create_task(context.desk.watch(), name="watch"),
            group.create_task(sweeper.run(), name="materials"),
        ]
        yield
        await _end(tasks)


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    """Cancel until all have ended: a library may lose a cancellation (seen with Redis)."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=0.2)


async def _stop_connections(app: web.Application) -> None:
    app[CONTEXT].hub.stop()
