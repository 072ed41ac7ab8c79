"""What Prometheus is told of the tree: the way up, the relays below, and their rooms by school.

A school's name is a label, so that a province's board shows which schools watch what and over which
rung. Lives here: the families alone. Must not live here: counting, which `children` does.
"""

from __future__ import annotations

from collections import Counter

from prometheus_client.core import GaugeMetricFamily, Metric

from relay.web.below import Below
from relay.web.upstream import Upstream


def tree_families(below: Below, upstream: Upstream) -> list[Metric]:
    """Gauges of this moment."""
    reached = GaugeMetricFamily(
        "relay_control_plane_reached",
        "Whether this relay is in touch with the control plane, over however many others",
        value=float(upstream.reached),
    )
    above = GaugeMetricFamily(
        "relay_relays_above", "Relays between this one and the control plane", len(upstream.path)
    )
    relays = GaugeMetricFamily(
        "relay_relays_below", "Relays below this one, at any depth", len(below.nodes())
    )
    rooms = GaugeMetricFamily(
        "relay_rooms_below",
        "Rooms that watch through relays below, by what they receive",
        labels=["lesson", "school", "rung"],
    )
    for lesson in sorted(below.lessons()):
        counts = Counter((room.school, room.rung.value) for room in below.rooms(lesson).values())
        for (school, rung), number in sorted(counts.items()):
            rooms.add_metric([lesson, school, rung], number)
    return [reached, above, relays, rooms]
