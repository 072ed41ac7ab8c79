"""What Prometheus is told of a relay's own copy: what it holds, its disk, its power cuts.

Lives here: the families alone. Must not live here: counting, which cache and node do; the sync
(`sync_metrics`). All names of a relay are listed in config/METRICS.md.
"""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from relay.cache.cache import Space


def archive_families(counters: Mapping[str, int], space: Space, unclean_stops: int) -> list[Metric]:
    """counters: the cache's. unclean_stops: on record here."""
    families: list[Metric] = []

    def gauge(name: str, text: str, value: float) -> None:
        families.append(GaugeMetricFamily(f"relay_{name}", text, value=value))

    def counter(name: str, text: str, values: Mapping[str, float]) -> None:
        family = CounterMetricFamily(f"relay_{name}", text, labels=["kind"])
        for kind, value in values.items():
            family.add_metric([kind], value)
        families.append(family)

    gauge("lessons_held", "Lessons of which something is on the disk", counters["held_lessons"])
    gauge("archive_bytes", "Bytes of all archives", space.held)
    gauge("archive_quota_bytes", "Bytes that archives may take, 0 for no quota", space.quota)
    gauge("disk_free_bytes", "Bytes free on the disk of the archives", space.free)
    gauge("disk_floor_bytes", "Bytes that stay free on it", space.floor)
    gauge("disk_full", "Whether the last write failed for lack of space", float(space.full))
    counter(
        "archive_parts",
        "Files of archives by what became of them",
        {kind: counters[kind] for kind in ("verified", "rotten", "adopted", "refused")},
    )
    evicted = {"lessons": counters["evictions"], "bytes": counters["evicted_bytes"]}
    counter("evicted", "What was put out for lack of space", evicted)
    gauge("unclean_stops", "Power cuts and kills on record, at most 50", unclean_stops)
    return families
