"""Prometheus metrics of the control plane, in a registry of their own; served at `/metrics`.

Counters are raised where things happen; gauges are read from the store at each scrape.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest


class Metrics:
    """All metrics; names and labels are a promise to dashboards."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "classroom_requests",
            "HTTP requests answered.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.request_seconds = Histogram(
            "classroom_request_seconds",
            "Seconds from a request to its answer, WebSockets left out.",
            ["route"],
            buckets=(0.005, 0.02, 0.1, 0.5, 2.0, 10.0),
            registry=self.registry,
        )
        self.refusals = Counter(
            "classroom_refusals",
            "Requests and messages refused, by code.",
            ["code"],
            registry=self.registry,
        )
        self.moves = Counter(
            "classroom_lesson_moves",
            "Lessons that changed their state.",
            ["state", "reason"],
            registry=self.registry,
        )
        self.sockets = Gauge(
            "classroom_sockets",
            "WebSockets open now.",
            ["kind"],
            registry=self.registry,
        )
        self.messages = Counter(
            "classroom_messages",
            "WebSocket messages, by direction.",
            ["kind", "direction"],
            registry=self.registry,
        )
        self.lessons = Gauge(
            "classroom_lessons", "Lessons by state.", ["state"], registry=self.registry
        )
        self.relays = Gauge("classroom_relays", "Relays alive.", registry=self.registry)
        self.rooms = Gauge(
            "classroom_rooms", "Rooms present in live lessons.", registry=self.registry
        )
        self.uploads = Counter(
            "classroom_material_uploads",
            "Files sent for lessons: kept, known, or the code of why they were refused.",
            ["result"],
            registry=self.registry,
        )
        self.material_files = Gauge(
            "classroom_material_files",
            "Files that go along with lessons, one of several lessons counted once.",
            registry=self.registry,
        )
        self.material_bytes = Gauge(
            "classroom_material_bytes", "Bytes of these files.", registry=self.registry
        )

    def text(self) -> bytes:
        """The metrics in Prometheus text format."""
        return generate_latest(self.registry)
