"""The media process: one thread, a UDP and a TCP port, nothing that could make a packet wait.

Runs the loop that reads the ports, keeps the routers' timers, answers the service's calls on
`media.sock`, and feeds the recorder on `feed.sock`; both are Unix sockets in the run directory.
No HTTP, no files, no decoding here. Started and restarted by `relay.node`; see DESIGN's reasons
in relay/transport/fanout.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import resource
import signal
import socket
import time
from collections import Counter
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any, Final

from classroom.errors import Refused
from relay import ipc
from relay.ipc import DERIVED_SOCKET, FEED_SOCKET, RPC_SOCKET
from relay.settings import MediaSettings
from relay.transport import behind
from relay.transport.derived import Derived
from relay.transport.fanout import NativeFanOut
from relay.transport.recorder_feed import BoundedStream, RecorderFeed
from relay.transport.rung_notices import RungNotices
from relay.transport.send_log import SendLogs
from relay.transport.sessions import Limits, Sessions
from relay.transport.tcp import StreamCounters, TcpPort, open_tcp
from relay.transport.trunks import Trunks
from relay.transport.udp import UdpPort

_log: Final = logging.getLogger("relay.media")

# Allocations before the collector looks: hardly anything here is in cycles, and looking through the
# objects of 200 viewers takes as long as sending a frame to all of them.
_COLLECT: Final = (100_000, 20, 100)
# Lessons' states go out on change, and again so often in case one was missed.
STATUS_SECONDS: Final = 2.0
# Between two looks at what has changed; and while there is no lesson, where only a call changes it.
_LOOK_SECONDS: Final = 0.1
_IDLE_SECONDS: Final = 1.0
# Notices that may wait for a service that does not read; beyond it is better told all anew.
_NOTICES_MOST: Final = 1 << 20
# A timer that is due sooner is rounded up: the loop's own wake-ups cost more than the delay.
_FINEST_TIMER: Final = 0.001


def relay_clock() -> float:
    """Unix time that never jumps: read once, then carried by the monotonic clock. Seconds."""
    return _WALL_AT_START + time.monotonic()


_WALL_AT_START: Final = time.time() - time.monotonic()


def local_addresses() -> tuple[str, ...]:
    """This machine's address on its default route, or loopback when it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Connecting a datagram socket sends nothing; it only asks for the route. The
            # address is one kept for documentation (RFC 5737).
            probe.connect(("203.0.113.1", 9))
            return (str(probe.getsockname()[0]),)
        except OSError:
            return ("127.0.0.1",)


class MediaProcess:
    """Everything of one media process. `run` until cancelled."""

    def __init__(self, settings: MediaSettings, run_directory: Path, sock: socket.socket) -> None:
        """sock: the relay's bound UDP socket."""
        self._settings = settings
        self._directory = run_directory
        self._feed = RecorderFeed()
        self._recorder_stream: BoundedStream | None = None
        self._derived = Derived(relay_clock, self._after_batch)
        self._listeners: set[asyncio.StreamWriter] = set()
        self._changed: set[str] = set()
        self._called = asyncio.Event()
        self._rungs = RungNotices()
        self._faults: Counter[str] = Counter()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = float("inf")
        self._port = UdpPort(sock, relay_clock, self._after_batch)
        self._tcp: TcpPort | None = None
        listening = open_tcp(settings.udp_host, self._port.port, settings.tcp_port)
        if listening is not None:
            self._tcp = TcpPort(listening, self._port, relay_clock, self._after_batch)
        elif settings.tcp_port >= 0:
            _log.error("no-tcp-port", extra={"tcp_port": settings.tcp_port})
        self._fan_out = NativeFanOut(self._port.fd, SendLogs(2 * settings.viewers_max), relay_clock)
        self._sessions = Sessions(
            self._port,
            self._fan_out,
            self._feed,
            relay_clock,
            Limits(
                settings.viewers_max,
                settings.session_seconds,
                settings.beat_seconds,
                settings.start_bitrate,
            ),
            settings.announce or self._own_addresses(),
            self._changed.add,
        )
        self._sessions.worker = self._derived
        self._trunks = Trunks(self._sessions, relay_clock, self._after_batch)
        self._sessions.relay_connected = self._trunks.connected

    def _own_addresses(self) -> tuple[str, ...]:
        host = self._settings.udp_host
        return local_addresses() if host in ("0.0.0.0", "::") else (host,)

    async def run(self) -> None:
        """Serve until cancelled."""
        loop = asyncio.get_running_loop()
        for name in (RPC_SOCKET, FEED_SOCKET, DERIVED_SOCKET):
            # What a killed process left behind would refuse every connection.
            (self._directory / name).unlink(missing_ok=True)
        rpc = await asyncio.start_unix_server(self._rpc, self._directory / RPC_SOCKET)
        feed = await asyncio.start_unix_server(self._recorder, self._directory / FEED_SOCKET)
        derived = await asyncio.start_unix_server(
            self._derived.serve, self._directory / DERIVED_SOCKET
        )
        self._port.start(loop)
        if self._tcp is not None:
            await self._tcp.start()
            self._sessions.tcp_port = self._tcp.number
        # Garbage is made by exceptions and closed sessions only; a full collection while 200
        # viewers wait would cost a frame, so what exists at start is never looked at again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_COLLECT)
        ports = {"udp_port": self._port.port, "tcp_port": self._sessions.tcp_port}
        _log.info("media-begins", extra={**ports, "pid": os.getpid()})
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._sessions.run())
                tasks.create_task(self._report())
        finally:
            self._port.close(loop)
            if self._tcp is not None:
                self._tcp.close()
            rpc.close()
            feed.close()
            derived.close()

    # Media and time

    def _after_batch(self, now: float) -> None:
        soonest = float("inf")
        for router in self._sessions.routers.values():
            # Feedback of viewers, most of what arrives, queues nothing and moves no timer.
            if not router.touched:
                continue
            try:
                held = router.holds_until()
                if held is None or held <= now:
                    router.touched = False
                    router.flush(now)
                else:
                    soonest = min(soonest, held)
                soonest = min(soonest, router.get_timer())
            except Exception:  # the lesson's edge, see `_fault`
                self._fault(router.lesson)
        if soonest < float("inf"):
            self._schedule(soonest, now)
        self._flush_recording()

    def _fault(self, lesson: str) -> None:
        """A bug that one lesson meets costs that lesson's packets, not the time of the others.

        Told once for a lesson, else its timer fills the disk with the same trace.
        """
        self._faults[lesson] += 1
        if self._faults[lesson] == 1:
            _log.exception("lesson-failed", extra={"lesson": lesson})

    def _flush_recording(self) -> None:
        if self._recorder_stream is not None:
            self._recorder_stream.flush()
        self._derived.flush()

    def _schedule(self, due: float, now: float) -> None:
        due = max(due, now + _FINEST_TIMER)
        if self._timer is not None:
            if due >= self._timer_at - _FINEST_TIMER / 2:
                return
            self._timer.cancel()
        self._timer_at = due
        self._timer = asyncio.get_running_loop().call_later(due - now, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._timer_at = float("inf")
        now = relay_clock()
        soonest = now + 1.0
        for router in self._sessions.routers.values():
            try:
                router.handle_timer(now)
                router.flush(now)
                soonest = min(soonest, router.get_timer())
            except Exception:  # the lesson's edge, see `_fault`
                self._fault(router.lesson)
        self._schedule(soonest, now)
        self._flush_recording()

    # The service process

    async def _rpc(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._listeners.add(writer)
        self._changed.update(self._sessions.routers)
        try:
            await ipc.serve_connection(reader, writer, self._answer)
        except asyncio.CancelledError:
            pass  # as in `_recorder`
        finally:
            self._listeners.discard(writer)
            writer.close()

    async def _answer(self, method: str, parameters: dict[str, Any]) -> Any:
        sessions = self._sessions
        match method:
            case "publish":
                result = sessions.publish(**parameters)
            case "watch":
                result = sessions.watch(**parameters)
            case "patch":
                result = sessions.patch(**parameters)
            case "delete":
                sessions.delete(**parameters)
                result = {}
            case "behind":
                reason = parameters.pop("reason")
                behind.put(sessions.find(**parameters, role="viewer"), reason, relay_clock())
                result = {}
            case "trunk_offer":
                result = self._trunks.offer(**parameters)
            case "trunk_answer":
                self._trunks.answer(**parameters)
                result = {}
            case "trunk_tell":
                self._trunks.tell(**parameters)
                result = {}
            case "trunk_end":
                self._trunks.end(**parameters)
                result = {}
            case "trunk_accept":
                result = self._trunks.accept(**parameters)
            case "trunk_want":
                self._trunks.want(**parameters)
                result = {}
            case "end_lesson":
                sessions.end_lesson(**parameters)
                result = {}
            case "status":
                result = sessions.status(**parameters)
            case "rates":
                result = sessions.rates()
            case "recall":
                sessions.recall(**parameters)
                result = {}
            case "statistics":
                result = self.statistics()
            case _:
                raise Refused(
                    500,
                    "unknown-call",
                    f"The media process knows no call {method!r}.",
                    fix="Restart the relay: its two processes are of different versions.",
                )
        if sessions.routers and self._timer is None:
            self._schedule(0.0, relay_clock())
        self._called.set()
        return result

    def statistics(self) -> dict[str, Any]:
        """Counters since start, for metrics and benchmarks. Seconds, bytes, counts."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        sessions = self._sessions
        peers = list(sessions.peers.values())
        return {
            "pid": os.getpid(),
            "udp_port": self._port.port,
            "tcp_port": sessions.tcp_port,
            "streams": 0 if self._tcp is None else self._tcp.streams,
            "tcp": asdict(self._tcp.counters if self._tcp is not None else StreamCounters()),
            "cpu_seconds": usage.ru_utime + usage.ru_stime,
            "receive": asdict(self._port.counters),
            "send": asdict(self._fan_out.counters),
            "viewers": sum(peer.role == "viewer" for peer in peers),
            "relays": sum(peer.role == "relay" for peer in peers),
            "publishers": sum(peer.role == "publisher" for peer in peers),
            "handshakes_failed": sessions.handshakes_failed,
            "faults": sum(self._faults.values()),
            "feed": {
                "connected": self._feed.connected,
                "unacknowledged": self._feed.unacknowledged,
                "dropped": self._feed.dropped,
            },
            "repairs": sessions.repairs(),
            "derived": self._derived.statistics(),
            "trunks": self._trunks.statistics(),
            "keyframes": {
                name: {"beats": router.keyframes.beats, "extra": router.keyframes.extra}
                for name, router in sessions.routers.items()
            },
        }

    async def _pause(self) -> None:
        """Until the next look: soon while anybody is here, else when somebody calls; a machine with
        nothing to do is left to sleep."""
        if self._sessions.routers:
            await asyncio.sleep(_LOOK_SECONDS)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_IDLE_SECONDS):
                await self._called.wait()
        self._called.clear()

    async def _report(self) -> None:
        loop = asyncio.get_running_loop()
        known: dict[str, tuple[bool, list[str]]] = {}
        full_at = derive_at = loop.time()
        for look in count():
            await self._pause()
            self._flush_recording()  # what came about without media: a track's end, a lesson's
            names = set(self._changed)
            self._changed.clear()
            self._derived.handle_timer(relay_clock())
            if loop.time() >= full_at:
                full_at = loop.time() + STATUS_SECONDS
                names.update(self._sessions.routers)
            if self._derived.missing and loop.time() >= derive_at:
                derive_at = loop.time() + STATUS_SECONDS
                self._notify("derive", {})
            now = relay_clock()
            for name, router in self._sessions.routers.items():
                try:
                    router.derived.poll(router.viewers.values(), now)
                except Exception:  # the lesson's edge, see `_fault`
                    self._fault(router.lesson)
                # Cheap to ask, and the only things that change without anybody's doing.
                seen = (router.is_publishing(now), router.sources(now))
                if known.get(name) != seen:
                    known[name] = seen
                    names.add(name)
            for name in names:
                self._notify("lesson", self._sessions.status(name))
            for name, notice in self._trunks.due():
                self._notify(name, notice)
            if self._listeners and look % 2 == 0:
                # Every other time: hundreds of rooms are scattered in memory, a millisecond.
                for notice in self._rungs.due(self._sessions.peers.values(), now):
                    self._notify("rung", notice)

    def _notify(self, name: str, parameters: dict[str, Any]) -> None:
        for writer in self._listeners:
            # A service that hangs is told all again when it comes back, see `_rpc`.
            if writer.transport.get_write_buffer_size() < _NOTICES_MOST:
                ipc.write_frame(writer, [2, name, parameters])
            else:
                writer.transport.abort()

    # The recorder

    async def _recorder(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._recorder_stream = stream = BoundedStream(writer.transport)
        self._feed.attach(stream)
        stream.flush()
        try:
            while data := await reader.read(4096):
                self._feed.receive(data)
        except (ConnectionError, asyncio.CancelledError):
            # Cancelled only when the process ends; a server's callback that stays cancelled would
            # be logged as a failure.
            pass
        finally:
            if self._recorder_stream is stream:
                self._recorder_stream = None
                self._feed.detach()
            writer.close()


async def serve(settings: MediaSettings, run_directory: Path, sock: socket.socket) -> None:
    """Run a media process on the bound UDP socket `sock` until SIGTERM or SIGINT."""
    process = MediaProcess(settings, run_directory, sock)
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    running = asyncio.ensure_future(process.run())
    waiting = asyncio.ensure_future(stopping.wait())
    await asyncio.wait((running, waiting), return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if running.done():
        running.result()
    running.cancel()
    await asyncio.wait((running,))
