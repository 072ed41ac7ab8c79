"""What is fetched from parents and siblings, and given to others, as Prometheus metrics.

Here: names and words. Not here: the numbers (`relay.sync.report`), `/metrics` itself (`health`).
"""

from __future__ import annotations

from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from relay.sync.client import Sync
from relay.web.offers import OfferRoutes

_COUNTS: Final = (
    *("far_bytes", "near_bytes", "list_bytes", "parts", "lessons", "asked", "lists"),
    *("yields", "failures", "rubbish", "bugs"),
)
_GAUGES: Final = {
    "lessons_left": "Lessons of which something is still to be fetched",
    "bytes_left": "Bytes still to be fetched",
    "rate": "Bytes per second over the link to the parent, while something is fetched",
    "connections": "Requests side by side over that link",
    "round_trip": "Seconds to the parent and back without a queue",
    "budget_left": "Bytes that may still cross that link today",
    "finish_at": "Unix time at which everything will be here, as estimated",
}


def sync_families(sync: Sync | None, offers: OfferRoutes) -> list[Metric]:
    """All of them; `sync` is None at the root."""
    given = CounterMetricFamily("relay_offers_sent_bytes", "Recordings given to other relays")
    given.add_metric([], offers.sent)
    if sync is None:
        return [given]
    report = sync.progress()
    counts = CounterMetricFamily(
        "relay_sync", "Fetched bytes (far: over the link to the parent) and events", labels=["kind"]
    )
    for kind in _COUNTS:
        counts.add_metric([kind], report["counts"].get(kind, 0))
    state = GaugeMetricFamily("relay_sync_state", "1 for the state it is in", labels=["state"])
    state.add_metric([report["state"]], 1)
    families: list[Metric] = [given, counts, state]
    for name, words in _GAUGES.items():
        if report[name] is not None:
            families.append(GaugeMetricFamily(f"relay_sync_{name}", words, value=report[name]))
    away = GaugeMetricFamily(
        "relay_sync_source_again_in", "Seconds until a source is asked again", labels=["source"]
    )
    for source in report["sources"]:
        away.add_metric([source["name"]], source["again_in"])
    return [*families, away]
