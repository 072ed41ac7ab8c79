"""The media process's end of `derived.sock`: sources out to the worker, derived layers back.

Lives here: numbers of tracks, what a new worker is told, and letting go of one that hangs. Must
not live here: codecs; which source is followed (relay.sfu.derived). Nothing here waits: what the
worker does not read is bounded, and then the connection is closed and its layers end, so that
rooms go back to the sources at once. The records are relay/derive/wire.py's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from classroom.clock import Clock
from relay.derive import wire
from relay.record import feed
from relay.sfu.derived import RIDS, DerivedLayers
from relay.sfu.layer import Layer
from relay.sfu.packet import Received
from relay.transport.recorder_feed import BoundedStream

_log: Final = logging.getLogger("relay.media")

# Twice the largest group of pictures that a new worker is handed, for two sources.
BACKLOG_BYTES: Final = 10 << 20
HEALTH_SECONDS: Final = 3.0  # without a word of a worker that tells its health each second
IDLE_SECONDS: Final = 30.0  # that a worker stays although nothing is needed
# Sources at once: what one core can do, a voice being 3 % of it and a ladder 15 %. More of them
# wait, and their rooms keep to the sources.
MOST: Final = {"audio": 16, "video": 6}
_CHUNK: Final = 1 << 16
SILENT_PACKETS: Final = 60  # of a voice, about a second of it, to which nothing came back


@dataclass(slots=True)
class _Source:
    """unanswered: packets of a voice since something was derived from it; 0 before the first."""

    owner: DerivedLayers
    layer: Layer
    unanswered: int = 0


class Derived:
    """One per media process; it is each router's `Worker`. Connections go to `serve`."""

    def __init__(self, clock: Clock, after: Callable[[float], None]) -> None:
        """after(now): called when packets were derived, to have them sent."""
        self._clock = clock
        self._after = after
        self.health: dict[str, float] = {}
        """What the worker said last; empty without one."""
        self.lost = 0
        """Workers that died, hung, or were not understood."""
        self._numbers: dict[Layer, int] = {}
        self._sources: dict[int, _Source] = {}
        self._waiting: dict[int, _Source] = {}
        """Those that are too many."""
        self._next = 1
        self._stream: BoundedStream | None = None
        self._parser = wire.Parser()
        self._heard_at = 0.0
        self._used_at = -1e9

    @property
    def missing(self) -> bool:
        """Whether a worker is needed and none is connected."""
        return self._stream is None and bool(self._sources)

    def statistics(self) -> dict[str, Any]:
        """For metrics: whether a worker is there, how many were lost, what is followed, and what
        it said of itself (relay.derive.worker)."""
        return {
            "connected": self._stream is not None,
            "lost": self.lost,
            "sources": len(self._sources),
            "waiting": len(self._waiting),
            **self.health,
        }

    # The worker

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of a worker, to its end."""
        stream = BoundedStream(writer.transport, BACKLOG_BYTES)
        self.attach(stream, self._clock())
        self.flush()
        try:
            while data := await reader.read(_CHUNK):
                if self._stream is not stream:
                    return
                now = self._clock()
                self.receive(data, now)
                self._after(now)
        except (ConnectionError, wire.WireError, asyncio.CancelledError):
            # Cancelled only when the process ends; a server's callback that stays cancelled would
            # be logged as a failure.
            pass
        finally:
            if self._stream is stream:
                self.lost += 1
                self.detach()
            writer.close()

    def attach(self, stream: BoundedStream, now: float) -> None:
        """A worker connected; one that was there before is let go."""
        self.detach()
        self._stream = stream
        self._parser = wire.Parser()
        self._heard_at = self._used_at = now
        for number, source in self._sources.items():
            self._introduce(number, source.layer)

    def detach(self) -> None:
        """The worker is gone: its layers end."""
        stream, self._stream = self._stream, None
        if stream is None:
            return
        stream.close()
        self.health = {}
        for source in self._sources.values():
            source.unanswered = 0
            source.owner.lost(source.layer)

    def receive(self, data: bytes, now: float) -> None:
        """What the worker says. Raises wire.WireError; detach then."""
        self._heard_at = now
        for record in self._parser.receive(data):
            if isinstance(record, wire.Health):
                self.health = record.numbers
            elif isinstance(record, wire.Derived | wire.Needs):
                source = self._sources.get(record.track)
                if source is None:
                    continue
                try:
                    self._take(source, record, now)
                except Exception:
                    # A bug that one lesson meets must not cost the others their layers: of this
                    # source nothing more is taken.
                    _log.exception("derived-failed", extra={"source": source.layer.track.source})
                    del self._sources[record.track]
                    self._write(wire.End(record.track))

    def _take(self, source: _Source, record: wire.Derived | wire.Needs, now: float) -> None:
        if isinstance(record, wire.Needs):
            source.owner.starve(source.layer, now)
        elif record.rid < len(RIDS):
            source.unanswered = 1
            source.owner.receive(source.layer, RIDS[record.rid], record.data, now)

    def flush(self) -> None:
        """Hand over what waits: rooms are served before the worker is woken."""
        if self._stream is not None:
            self._stream.flush()

    def handle_timer(self, now: float) -> None:
        """Let go of a worker that hangs, or that nobody needs. Call a few times a second."""
        if self._stream is None:
            return
        if self._sources:
            self._used_at = now
        silent = any(source.unanswered > SILENT_PACKETS for source in self._sources.values())
        if self._stream.is_closed or now - self._heard_at > HEALTH_SECONDS or silent:
            self.lost += 1
            self.detach()
        elif now - self._used_at > IDLE_SECONDS:
            self.detach()

    # What routers say

    def begin(self, owner: DerivedLayers, layer: Layer) -> None:
        """Follow `layer`."""
        self._numbers[layer] = number = self._next
        self._next += 1
        self._waiting[number] = _Source(owner, layer)
        self._admit()

    def _admit(self) -> None:
        """Take on as many as may be."""
        kinds = [source.layer.track.kind for source in self._sources.values()]
        for number, source in list(self._waiting.items()):
            kind = source.layer.track.kind
            if kinds.count(kind) >= MOST[kind]:
                continue
            kinds.append(kind)
            self._sources[number] = self._waiting.pop(number)
            if self._stream is not None:
                self._introduce(number, source.layer)

    def packet(self, layer: Layer, packet: Received) -> None:
        """One packet of a layer that is followed."""
        number = self._numbers[layer]
        source = self._sources.get(number)
        if self._stream is not None and source is not None:
            if source.unanswered and not layer.is_video:
                source.unanswered += 1
            self._write(wire.Packet(number, packet.arrived, packet.data))

    def end(self, layer: Layer) -> None:
        """Follow it no more."""
        number = self._numbers.pop(layer)
        if self._waiting.pop(number, None) is None:
            self._sources.pop(number, None)
            self._write(wire.End(number))
            self._admit()

    def request_keyframe(self, layer: Layer, rid: str) -> None:
        """A keyframe of what is derived from `layer` as `rid` is wanted."""
        number = self._numbers.get(layer)
        if number is not None:
            self._write(wire.Keyframe(number, RIDS.index(rid)))

    def _introduce(self, number: int, layer: Layer) -> None:
        """The track, then what is kept of it since its keyframe."""
        track = layer.track
        payload_type = track.red.get(layer.payload_type, layer.payload_type)
        codec = track.codecs[payload_type]
        red = next((outer for outer, inner in track.red.items() if inner == payload_type), None)
        self._write(
            feed.Track(
                number,
                "",
                track.source,
                None,
                codec.name,
                codec.clock_rate,
                codec.channels if codec.kind == "audio" else None,
                feed.used_parameters(codec.fmtp),
                payload_type,
                red,
                feed.used_extensions(track.extensions),
            )
        )
        for packet in layer.pictures.packets:
            self._write(wire.Packet(number, packet.arrived, packet.data))
        self._write(wire.Go(number))

    def _write(self, record: wire.Record) -> None:
        if self._stream is not None:
            self._stream.write(wire.encode(record))
