"""One WebSocket: the socket on one side, a pure `Session` on the other, and nothing in between.

One task reads, one writes and does what messages ask for; the second owns the end. A peer too
slow for its messages loses only superseded ones: what waits is kept by key, the newest stands.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import WSMsgType, web

from classroom import wire
from classroom.clock import Clock
from classroom.errors import Absent, Refused, websocket_refusal
from classroom.signalling import Close, Opened, Received, Send, Session
from classroom.signalling.session import CANNOT_SERVE, NORMAL
from classroom.web.logs import LOG
from classroom.web.metrics import Metrics
from classroom.web.problems import code_of
from classroom.wire import Message

Act = Callable[[Opened | Received], Awaitable[None]]
# A peer that takes longer than this for one message is gone in all but name.
_SEND_S: Final = 20.0
_CLOSE_S: Final = 3.0
_INBOX: Final = 16


class Peer:
    """A connected page or relay. `run` lives as long as the connection.

    kind: "page" or "relay", for counters. act: does what an Opened or Received asks for; what it
    raises as Refused or Absent is told to the peer (and, for Opened, closes).
    """

    def __init__(
        self, session: Session, kind: str, clock: Clock, date: Clock, metrics: Metrics
    ) -> None:
        """clock: seconds that never jump. date: Unix seconds, which may."""
        self.session = session
        self._kind = kind
        self._clock = clock
        self._date = date
        self._metrics = metrics
        self._socket = web.WebSocketResponse(
            timeout=_CLOSE_S, max_msg_size=wire.MAX_BYTES, compress=False
        )
        self._wake = asyncio.Event()
        self._inbox: asyncio.Queue[bytes | str] = asyncio.Queue(_INBOX)
        self._pending: dict[str, Message] = {}
        self._opened = False
        self._gone = False

    def push(self, key: str, message: Message) -> None:
        """Send `message` soon; it replaces one that still waits under `key`."""
        self._pending[key] = message
        self._wake.set()

    def waits(self, key: str) -> bool:
        """Whether a message still waits under `key`."""
        return key in self._pending

    def refuse(self, error: Refused | Absent) -> None:
        """Tell the peer why and close."""
        self._metrics.refusals.labels(code_of(error)).inc()
        self.session.refuse(error)
        self._wake.set()

    def stop(self) -> None:
        """Close because the server stops."""
        self.session.close()
        self._wake.set()

    async def run(self, request: web.Request, act: Act) -> tuple[web.WebSocketResponse, str]:
        """Carry the conversation to its end; the response, and the reason it ended.

        Raises Refused 426 or 400 if the request asks for no WebSocket.
        """
        if not self._socket.can_prepare(request):
            raise websocket_refusal(request.headers)
        await self._socket.prepare(request)
        self._metrics.sockets.labels(self._kind).inc()
        ending = Close(CANNOT_SERVE, "fault")
        try:
            async with asyncio.TaskGroup() as group:
                reader = group.create_task(self._read())
                try:
                    ending = await self._work(act)
                finally:
                    reader.cancel()
        # One peer's failure must not reach the others; it is a bug and is logged in full.
        except* Exception:
            LOG.exception("peer-failed", extra={"facts": {"kind": self._kind}})
        finally:
            self._metrics.sockets.labels(self._kind).dec()
        # Only now, when nobody reads: closing under a reader cuts the line before the peer's
        # answer, and the peer could miss the code.
        await self._socket.close(code=ending.code, message=ending.reason.encode())
        return self._socket, ending.reason

    async def _read(self) -> None:
        async for message in self._socket:
            if message.type in (WSMsgType.BINARY, WSMsgType.TEXT):
                # When the worker does not keep up, a flood waits in its own socket.
                await self._inbox.put(message.data)
                self._wake.set()
        self._gone = True
        self._wake.set()

    async def _work(self, act: Act) -> Close:
        while True:
            self._wake.clear()
            self._take_in()
            for action in self.session.take_actions():
                if isinstance(action, Close):
                    return action
                if isinstance(action, Send):
                    if not await self._send(action.message):
                        return Close(CANNOT_SERVE, "too slow or gone")
                    continue
                await self._act(act, action)
                self._wake.set()
            if self._gone and not self._wake.is_set():
                return Close(NORMAL, f"closed by peer ({self._socket.close_code})")
            await self._sleep()

    def _take_in(self) -> None:
        while not self._inbox.empty():
            frame = self._inbox.get_nowait()
            if isinstance(frame, bytes):
                self._metrics.messages.labels(self._kind, "in").inc()
                self.session.receive_message(frame, self._now())
            else:
                self.session.receive_text()
        if self._opened:
            for message in self._pending.values():
                self.session.send(message)
            self._pending.clear()

    async def _act(self, act: Act, action: Opened | Received) -> None:
        try:
            await act(action)
        except (Refused, Absent) as error:
            self._metrics.refusals.labels(code_of(error)).inc()
            if isinstance(action, Opened):
                self.session.refuse(error)
            else:
                self.session.tell(error)
        else:
            self._opened = True

    async def _send(self, message: Message) -> bool:
        try:
            async with asyncio.timeout(_SEND_S):
                await self._socket.send_bytes(wire.encode(message))
        except (TimeoutError, ConnectionError):
            return False
        self._metrics.messages.labels(self._kind, "out").inc()
        return True

    async def _sleep(self) -> None:
        timer = self.session.get_timer()
        try:
            async with asyncio.timeout(None if timer is None else max(0.0, timer - self._clock())):
                await self._wake.wait()
        except TimeoutError:
            self.session.handle_timer(self._now())

    def _now(self) -> float:
        """Steady seconds; the session knows the date by then."""
        now = self._clock()
        self.session.wall_offset = self._date() - now
        return now
