"""A WebSocket and the session that decides what is said over it, until either side closes.

Lives here: reading, the session's timer, ending everything together, the closing handshake. Must
not live here: what the session's actions mean, which is for who has the conversation (`events`,
`child_line`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any

from aiohttp import WSMsgType, web

from classroom.clock import Clock, monotonic
from classroom.signalling.actions import Close
from classroom.signalling.session import Session

_REASON_BYTES = 120  # a close frame takes 123 (RFC 6455 §5.5)


class Conversation:
    """One connection. `run` lives as long as it."""

    def __init__(self, socket: web.WebSocketResponse, session: Session, date: Clock) -> None:
        """date: Unix seconds, as those above say where this machine's clock is wrong."""
        self._socket = socket
        self._session = session
        self._date = date
        self._over = asyncio.Event()
        self._closing: Close | None = None

    def end(self, closing: Close | None = None) -> None:
        """The session closes; or, with None, the line is of no use any more: no word is said."""
        self._closing = closing
        self._over.set()

    async def run(
        self,
        carry_out: Callable[[], Awaitable[None]],
        parts: Iterable[Coroutine[Any, Any, None]],
        forgets: Iterable[Callable[[], None]],
    ) -> None:
        """Read and keep time until either side closes. carry_out: does what the session asks, and
        calls `end` when it asks to close. parts: what runs beside. forgets: called at the end."""
        try:
            async with asyncio.TaskGroup() as group:
                running = (self._read(carry_out), self._tick(carry_out), *parts)
                tasks = [group.create_task(part) for part in running]
                await self._over.wait()
                for task in tasks:
                    task.cancel()
        finally:
            for forget in forgets:
                forget()
        # Only now, when nobody reads: closing under a reader cuts the line before the other's
        # answer, and the other could miss the code.
        if self._closing is not None:
            code, reason = self._closing.code, self._closing.reason
            await self._socket.close(code=code, message=reason.encode()[:_REASON_BYTES])

    async def _read(self, carry_out: Callable[[], Awaitable[None]]) -> None:
        await carry_out()
        async for message in self._socket:
            if message.type == WSMsgType.BINARY:
                self._session.receive_message(message.data, self._now())
            elif message.type == WSMsgType.TEXT:
                self._session.receive_text()
            await carry_out()
        self._over.set()

    async def _tick(self, carry_out: Callable[[], Awaitable[None]]) -> None:
        while (due := self._session.get_timer()) is not None:
            await asyncio.sleep(max(0.0, due - monotonic()) + 0.01)
            self._session.handle_timer(self._now())
            await carry_out()

    def _now(self) -> float:
        """Steady seconds; the session knows the date by then."""
        now = monotonic()
        self._session.wall_offset = self._date() - now
        return now
