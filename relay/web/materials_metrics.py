"""What Prometheus is told of materials: what is here for lessons to come, and how it came.

Here: names and words. Not here: the numbers (`relay.sync.materials_wanted`,
`relay.cache.materials`). All names of a relay are listed in config/METRICS.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

_GAUGES: Final = {
    "lessons": "Lessons to come that have materials",
    "whole": "Of these, with all of them here",
    "lists_left": "Of these, whose list is still to come",
    "files_left": "Files of lessons to come that are not here yet",
    "bytes_left": "Bytes of these that are still to come",
    "lessons_without_room": "Lessons to come with files for which there is no room now",
    "soon_without_room": "Of these, that run or begin within a day",
    "files_without_room": "Files of these lessons for which there is no room now",
    "bytes_without_room": "Bytes of these",
}
_HELD: Final = {
    "bytes": "Bytes of all materials",
    "quota_bytes": "Bytes that they may take",
}
_KINDS: Final = ("files", "lists", "asked", "rubbish", "verified", "rotten", "evicted")


def materials_families(
    progress: Mapping[str, int], held: Mapping[str, int], counts: Mapping[str, int]
) -> list[Metric]:
    """progress: of what is to come. held, counts: of the store, and of what came."""
    families: list[Metric] = [
        GaugeMetricFamily(f"relay_materials_{name}", text, value=values[name])
        for values, texts in ((progress, _GAUGES), (held, _HELD))
        for name, text in texts.items()
    ]
    total = CounterMetricFamily(
        "relay_materials", "Lists and files by what became of them", labels=["kind"]
    )
    for kind in _KINDS:
        total.add_metric([kind], counts.get(kind, 0) + held.get(kind, 0))
    return [*families, total]
