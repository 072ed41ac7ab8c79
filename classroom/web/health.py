"""Whether this process can do its work: `/healthz` for supervisors, `/metrics` for Prometheus.

A missing relay is told but fails nothing: the control plane itself is well.
"""

from __future__ import annotations

import asyncio

from aiohttp import web

from classroom.errors import Absent
from classroom.web.context import Context, context_of
from classroom.wire import LessonState


async def healthz(request: web.Request) -> web.Response:
    """200 if records and live state answer, else 503; each check with what it found."""
    context = context_of(request)
    records, live, relays = await asyncio.gather(
        _records(context), _live(context), _relays(context)
    )
    well = records["ok"] is True and live["ok"] is True
    body = {
        "status": "ok" if well else "failing",
        "checks": {"records": records, "live": live, "relays": relays},
    }
    return web.json_response(body, status=200 if well else 503)


async def metrics(request: web.Request) -> web.Response:
    """The metrics in Prometheus text format; gauges that cannot be read keep their last value."""
    context = context_of(request)
    try:
        counts = await context.records.counts()
        for state in LessonState:
            context.metrics.lessons.labels(state.value).set(counts.get(state, 0))
        files, size = await context.records.materials.totals()
        context.metrics.material_files.set(files)
        context.metrics.material_bytes.set(size)
        now = context.wall()
        context.metrics.relays.set(len(await context.live.relays(now)))
        fresh_s = context.settings.lessons.relay_lost_s
        reports = await context.live.reports()
        context.metrics.rooms.set(
            sum(report.rooms for report in reports if now - report.at < fresh_s)
        )
    except Absent:
        context.metrics.refusals.labels("absent").inc()
    return web.Response(
        body=context.metrics.text(),
        headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
    )


async def _records(context: Context) -> dict[str, object]:
    try:
        await context.records.check()
    except Absent as error:
        return {"ok": False, "detail": error.what}
    return {"ok": True, "detail": ""}


async def _live(context: Context) -> dict[str, object]:
    try:
        await context.live.check()
    except Absent as error:
        return {"ok": False, "detail": error.what}
    return {"ok": True, "detail": ""}


async def _relays(context: Context) -> dict[str, object]:
    try:
        names = [relay.name for relay in await context.live.relays(context.wall())]
    except Absent as error:
        return {"ok": False, "detail": error.what}
    return {"ok": bool(names), "detail": ", ".join(names) or "no relay is connected"}
