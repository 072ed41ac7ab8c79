"""`/healthz` and `/metrics`: what is well, and everything that is counted.

Health is 200 while the relay can carry a lesson: the media process answers and the recorder is
connected. Metrics are Prometheus text; per-packet facts come from the media process's counters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from classroom.errors import Absent
from relay.ipc import RpcClient
from relay.web.lessons import KnownLessons
from relay.web.rungs import Rungs

_STATES: Final = ("none", "recording", "failing", "finished")


class Health:
    """Handlers of both addresses."""

    def __init__(
        self,
        media: RpcClient,
        lessons: KnownLessons,
        *,
        central_connected: Callable[[], bool],
        recorder_connected: Callable[[], bool],
        pages: Callable[[], int],
        restarts: int,
        rungs: Rungs | None = None,
        stills_made: Callable[[], int] = int,
        more: Callable[[], list[Metric]] = list,
    ) -> None:
        """restarts: how often this service process was started again by its node. more: what others
        have to tell."""
        self._more = more
        self._media = media
        self._lessons = lessons
        self._central_connected = central_connected
        self._recorder_connected = recorder_connected
        self._pages = pages
        self._restarts = restarts
        self._rungs = rungs or Rungs()
        self._stills_made = stills_made

    def add_routes(self, app: web.Application) -> None:
        """GET /healthz and /metrics."""
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/metrics", self._metrics)

    def checks(self) -> dict[str, bool]:
        """Each part and whether it is well."""
        return {
            "media": self._media.is_connected,
            "recorder": self._recorder_connected(),
            "central": self._central_connected(),
        }

    async def _healthz(self, request: web.Request) -> web.Response:
        checks = self.checks()
        # Without the control plane lessons go on: that is told, but it is no failure.
        well = checks["media"] and checks["recorder"]
        return web.json_response(
            {"status": "ok" if well else "failing", "checks": checks}, status=200 if well else 503
        )

    async def _metrics(self, request: web.Request) -> web.Response:
        statistics: dict[str, Any] | None
        try:
            statistics = await self._media.call("statistics")
        except Absent:
            statistics = None
        registry = CollectorRegistry()
        registry.register(_Snapshot(self._families(statistics)))
        body = generate_latest(registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    def _families(self, statistics: dict[str, Any] | None) -> list[Metric]:
        families: list[Metric] = []

        def gauge(name: str, text: str, value: float) -> None:
            families.append(GaugeMetricFamily(f"relay_{name}", text, value=value))

        def counter(name: str, text: str, values: dict[str, float]) -> None:
            family = CounterMetricFamily(f"relay_{name}", text, labels=["kind"])
            for kind, value in values.items():
                family.add_metric([kind], value)
            families.append(family)

        for name, well in self.checks().items():
            gauge(f"{name}_up", f"Whether {name} is connected", float(well))
        gauge("pages", "Pages connected by WebSocket", self._pages())
        gauge("service_restarts", "Restarts of the service process", self._restarts)
        recordings = GaugeMetricFamily(
            "relay_recordings", "Known lessons by state of their recording", labels=["state"]
        )
        states = [info.recording.state.value for info in self._lessons.all()]
        for state in _STATES:
            recordings.add_metric([state], states.count(state))
        families.append(recordings)
        rooms = GaugeMetricFamily("relay_rooms", "Rooms that watch", labels=["lesson"])
        for info in self._lessons.all():
            rooms.add_metric([info.id], info.rooms)
        families.append(rooms)
        families.append(_by_rung(GaugeMetricFamily, "room_rungs", self._rungs.counts()))
        families.extend(self._more())
        families.append(_by_rung(CounterMetricFamily, "room_rung_changes", self._rungs.changes))
        counter("stills_made", "Still pictures encoded", {"all": self._stills_made()})
        if statistics is None:
            return families
        counter("datagrams_received", "Datagrams by what became of them", statistics["receive"])
        counter("packets_sent", "Packets sent and not sent", statistics["send"])
        counter("recorder_feed_dropped", "Records dropped", {"all": statistics["feed"]["dropped"]})
        counter("handshakes_failed", "DTLS handshakes", {"all": statistics["handshakes_failed"]})
        counter("media_cpu_seconds", "CPU of the media process", {"all": statistics["cpu_seconds"]})
        counter("repairs", "What rooms asked for again, false feedback", statistics["repairs"])
        gauge("viewers", "Sessions of rooms", statistics["viewers"])
        gauge("publishers", "Sessions of teachers", statistics["publishers"])
        gauge("streams", "Connections of media over TCP", statistics["streams"])
        counter("tcp", "Connections of media over TCP by fate, and their frames", statistics["tcp"])
        gauge("recorder_feed_kept", "Records kept", statistics["feed"]["unacknowledged"])
        derived = statistics["derived"]
        gauge("derived_sources", "Sources that lighter layers are made of", derived["sources"])
        gauge("derived_up", "Whether the process that makes them is there", derived["connected"])
        gauge("derived_step", "How much less than all of them it makes", derived.get("step", 0))
        counter("derived_lost", "Such processes that died or hung", {"all": derived["lost"]})
        return families


def _by_rung(
    cls: type[GaugeMetricFamily] | type[CounterMetricFamily], name: str, values: Mapping[str, int]
) -> GaugeMetricFamily | CounterMetricFamily:
    """What rooms receive: how many of each now, or how often one came to it."""
    text = "Rooms by what they receive" if name == "room_rungs" else "Rooms that came to a rung"
    family = cls(f"relay_{name}", text, labels=["rung"])
    for rung, value in values.items():
        family.add_metric([rung], value)
    return family


class _Snapshot(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        return self._families
