"""The worker process that derives layers: packets in from `derived.sock`, packets out.

Lives here: the socket, the voices (on the event loop) and the one thread that all pictures share,
so that they take at most one core and a voice never waits for them. Must not live here: codecs.
The process ends with its connection, and by the kernel's alarm if it hangs: the media process
counts on nothing here, and whoever needs it starts another.
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

import av

from relay import logs
from relay.derive import wire
from relay.derive.pace import Pace
from relay.derive.pictures import Ladder
from relay.derive.voice import ThinVoice
from relay.record.feed import Track
from relay.sfu.derived import RIDS, THIN

_log: Final = logging.getLogger("relay.derive")

HEALTH_SECONDS: Final = 1.0
STUCK_SECONDS: Final = 10.0  # in one call of a codec, or without a turn of the loop
CONNECT_TRIES: Final = 50
_CHUNK: Final = 1 << 16
QUEUE_BYTES: Final = 16 << 20  # of pictures: several seconds of the largest; then it begins anew
OUT_BYTES: Final = 1 << 20  # that the media process did not read: it hangs, and this is of no use
# Voices, 3 % of a core each, are as urgent as what they are made of; pictures come after all else.
PICTURES_NICE: Final = 15
_THIN: Final = RIDS.index(THIN)


class PictureThread(threading.Thread):
    """Ladders of all sources, one record after the other. send(record) is called in the thread."""

    def __init__(self, send: Callable[[wire.Record], None]) -> None:
        super().__init__(name="pictures", daemon=True)
        self.pace = Pace()
        self.late = 0.0
        """Seconds that the newest frame waited."""
        self.busy_since: float | None = None
        """When the record in hand was begun, None between them."""
        self._send = send
        self._changed = threading.Condition()
        self._queue: deque[Track | wire.Record] = deque()
        self._bytes = 0
        self._ladders: dict[int, Ladder] = {}
        self._offset = float("inf")
        self._lost = 0

    def put(self, record: wire.Record, now: float) -> None:
        """Queue a record; packets are thrown away when there are too many."""
        with self._changed:
            if isinstance(record, wire.Packet):
                # The clocks' difference, and the least that a packet ever took.
                self._offset = min(self._offset, now - record.arrival)
                self._bytes += len(record.data)
                if self._bytes > QUEUE_BYTES:
                    kept = [one for one in self._queue if not isinstance(one, wire.Packet)]
                    self._lost += len(self._queue) - len(kept)
                    self._queue = deque(kept)
                    self._bytes = len(record.data)
            self._queue.append(record)
            self._changed.notify()

    @property
    def dropped(self) -> int:
        """Frames and queued packets that were thrown away."""
        return self._lost + sum(ladder.dropped for ladder in list(self._ladders.values()))

    def run(self) -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), PICTURES_NICE)
        while True:
            with self._changed:
                self.busy_since = None
                while not self._queue:
                    self._changed.wait()
                record = self._queue.popleft()
                if isinstance(record, wire.Packet):
                    self._bytes -= len(record.data)
                self.busy_since = time.monotonic()
            try:
                self._handle(record)
            except Exception as error:
                # One source that meets a bug must not cost the others their pictures.
                _log.error("picture-failed", exc_info=error)
                self._lost += 1

    def _handle(self, record: wire.Record) -> None:
        if isinstance(record, Track):
            self._ladders[record.track] = Ladder(record, record.track, self.pace)
            return
        if isinstance(record, wire.Derived | wire.Needs | wire.Health):
            return  # not said to a worker
        ladder = self._ladders.get(record.track)
        if ladder is None:
            return
        match record:
            case wire.Packet(track, arrival, data):
                now = time.monotonic()
                self._give(track, ladder.packet(data, arrival, self._late, now))
                if ladder.is_starving(now):
                    self._send(wire.Needs(track))
            case wire.Go(track):
                self._give(track, ladder.go())
            case wire.Keyframe(_, rid):
                ladder.request_keyframe(rid)
            case wire.End(track):
                del self._ladders[track]

    def _late(self, arrival: float) -> float:
        self.late = time.monotonic() - arrival - self._offset
        return self.late

    def _give(self, track: int, packets: Iterator[tuple[int, bytes]]) -> None:
        for rid, packet in packets:
            self._send(wire.Derived(track, rid, packet))


class Worker:
    """One run of the process. `run` returns when the connection ends."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._loop = asyncio.get_running_loop()
        self._voices: dict[int, ThinVoice] = {}
        self._pictures = PictureThread(self._send_from_thread)
        self._timer: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Until the connection ends."""
        self._pictures.start()
        health = asyncio.ensure_future(self._tell_health())
        parser = wire.Parser()
        try:
            while data := await self._reader.read(_CHUNK):
                for record in parser.receive(data):
                    self._handle(record)
        except (ConnectionError, wire.WireError) as error:
            _log.error("derived-connection-ended", extra={"reason": str(error)})
        finally:
            health.cancel()

    def _handle(self, record: wire.Record) -> None:
        now = time.monotonic()
        if isinstance(record, Track) and record.source == "voice":
            self._voices[record.track] = ThinVoice(record, record.track)
            return
        track = getattr(record, "track", None)
        voice = None if track is None else self._voices.get(track)
        if voice is None:
            self._pictures.put(record, now)
        elif isinstance(record, wire.Packet):
            self._give(record.track, voice.receive(record.data, now))
            if self._timer is None:
                self._set_timer(now)
        elif isinstance(record, wire.End):
            del self._voices[record.track]

    def _set_timer(self, now: float) -> None:
        self._timer = None
        due = min((due for one in self._voices.values() if (due := one.get_timer())), default=None)
        if due is not None:
            self._timer = self._loop.call_later(max(due - now, 0.001), self._flush_voices)

    def _flush_voices(self) -> None:
        now = time.monotonic()
        for track, voice in self._voices.items():
            self._give(track, voice.handle_timer(now))
        self._set_timer(now)

    def _give(self, track: int, packets: list[bytes]) -> None:
        for packet in packets:
            self._send(wire.Derived(track, _THIN, packet))

    def _send(self, record: wire.Record) -> None:
        self._writer.write(wire.encode(record))
        if self._writer.transport.get_write_buffer_size() > OUT_BYTES:
            self._writer.transport.abort()

    def _send_from_thread(self, record: wire.Record) -> None:
        self._loop.call_soon_threadsafe(self._send, record)

    async def _tell_health(self) -> None:
        while True:
            # The alarm is the kernel's: it ends a process whose loop does not come round.
            signal.alarm(round(STUCK_SECONDS))
            now = time.monotonic()
            since = self._pictures.busy_since
            if since is not None and now - since > STUCK_SECONDS:
                _log.error("pictures-stuck", extra={"seconds": round(now - since)})
                os._exit(1)
            usage = resource.getrusage(resource.RUSAGE_SELF)
            numbers = {
                "pid": os.getpid(),
                "cpu_seconds": usage.ru_utime + usage.ru_stime,
                "voices": len(self._voices),
                "concealed_seconds": sum(one.concealed for one in self._voices.values()),
                "late_seconds": self._pictures.late,
                "dropped": self._pictures.dropped,
                "step": self._pictures.pace.step,
            }
            self._send(wire.Health(numbers))
            await asyncio.sleep(HEALTH_SECONDS)


async def serve(path: str) -> None:
    """Connect to the media process and work until it ends the connection."""
    for _ in range(CONNECT_TRIES):
        try:
            reader, writer = await asyncio.open_unix_connection(path)
        except OSError:
            await asyncio.sleep(0.1)
            continue
        await Worker(reader, writer).run()
        return


if __name__ == "__main__":
    av.logging.set_level(av.logging.PANIC)
    logs.set_up("derive")
    asyncio.run(serve(sys.argv[1]))
    # The thread may be inside a codec; there is nothing to save.
    os._exit(0)
