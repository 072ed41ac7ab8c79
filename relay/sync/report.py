"""How the sync fares, for the status page and for metrics. Here: numbers and stable words; the
words
for people are the pages'. Not here: what is done about any of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from relay.sync.client import Sync


def report(sync: Sync) -> dict[str, Any]:
    """state: "fetching", "idle" (nothing is left to fetch), "waiting" (something is, and no source
    has it now), or why the weak link is left alone: "live", "window", "budget", "disk",
    "import" (a drive is being imported), "starting".

    lessons_left, bytes_left: still to come. finish_at: unix seconds when they will be here at the
    last rate, within windows and budget; None while that is not known. rate: bytes/s over the weak
    link; connections: side by side over it. round_trip: s. budget_left: bytes of today, None
    without a budget. now: what is being fetched. sources: seconds until each is asked again (0 for
    now), failures in a row, times that it sent rubbish. counts: since the service began.
    """
    moment = sync.time.moment()
    metered = sync.metered
    lessons, size = sync.plan.waiting(metered)
    under_way = sync.under_way
    state = sync.refusal
    if under_way:
        state = "fetching"
    elif not state:
        state = "waiting" if lessons else "idle"
    finish = sync.allowance.finish(size, sync.width.rate, moment) if lessons else None
    return {
        "state": state,
        "lessons_left": lessons,
        "bytes_left": size,
        "finish_at": finish,
        "rate": sync.width.rate,
        "connections": sync.width.connections,
        "round_trip": sync.width.round_trip,
        "budget_left": sync.allowance.left(moment),
        "now": [
            {
                "lesson": fetch.lesson,
                "step": fetch.step.name.lower(),
                "rendition": fetch.rendition,
                "source": source,
            }
            for fetch, source in under_way
        ],
        "sources": [_source(sync, source.name, source.near, moment.now) for source in sync.sources],
        "counts": dict(sync.counts) | {"lessons": sync.queue.finished},
    }


def _source(sync: Sync, name: str, near: bool, now: float) -> dict[str, Any]:
    left_alone, failures, rubbish = sync.plan.standing(name, now)
    return {
        "name": name,
        "near": near,
        "again_in": left_alone,
        "failures": failures,
        "rubbish": rubbish,
    }
