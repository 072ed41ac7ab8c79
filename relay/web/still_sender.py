"""Sends one room its still pictures, so slowly that its voice never waits behind them.

Lives here: the pace. A part leaves when the room's share of bits for stills has carried the part
before it, and while the socket holds no part that was not sent (the kernel is asked). A picture
that has begun is sent to its end; of those made meanwhile the newest is next. Must not live here:
which pictures there are (`stills`).
"""

from __future__ import annotations

import asyncio
import fcntl
import struct
import termios
from collections.abc import Awaitable, Callable
from typing import Final

from classroom.clock import Clock, monotonic
from classroom.wire import Message, StillPart
from relay.web.rungs import RoomState
from relay.web.stills import PART_OVERHEAD, Stills, messages, wants_stills

# linux/sockios.h: bytes in the send queue that were not sent yet. What was sent and not yet
# acknowledged is TIOCOUTQ's.
_SIOCOUTQNSD: Final = 0x894B
# s of the room's pace that may be under way: a window of one part would be slower than the pace
# on a round trip of 800 ms.
_UNDER_WAY_SECONDS: Final = 1.5
_LOOK_SECONDS: Final = 0.05
# s of the room's pace that go at once: such rooms play their voice at least twice as late.
_AHEAD_SECONDS: Final = 0.3
# Of a picture's last packet TCP finds out only after two round trips that it was lost, for nothing
# comes behind it that could be acknowledged; a word behind it, later by as much as packets may
# overtake each other (a quarter of a round trip: RFC 8985 §6.2), makes it one and a quarter. What
# is sent again is lost like the rest, and only what was sent after it shows that, or else a timer
# that doubles each time: so words go on until the picture was acknowledged.
_WORD_TRIPS: Final = 0.25
_AGAIN_TRIPS: Final = 0.5
_WORD_LEAST_SECONDS: Final = 0.05
_WORDS: Final = 12
# s. A link that took nothing for so long is away; the picture would be an old one.
_GIVE_UP_SECONDS: Final = 30.0

Queued = Callable[[], tuple[int, int]]
"""Bytes of a socket that were not sent, and that were not acknowledged (those included)."""


def queued(descriptor: int) -> tuple[int, int]:
    """As `Queued`, of a TCP socket; (0, 0) where the system does not tell."""
    try:
        unsent = struct.unpack("i", fcntl.ioctl(descriptor, _SIOCOUTQNSD, bytes(4)))[0]
        unacknowledged = struct.unpack("i", fcntl.ioctl(descriptor, termios.TIOCOUTQ, bytes(4)))[0]
    except (OSError, ValueError):  # another system, or a socket that was closed
        return 0, 0
    return unsent, unacknowledged


class StillSender:
    """One page's. Run `run` in a task; call `wake` at changes of the room or of the pictures."""

    def __init__(
        self,
        stills: Stills,
        state: Callable[[], RoomState | None],
        send: Callable[[Message], Awaitable[None]],
        queued: Queued,
        ping: Callable[[], Awaitable[None]],
        now: Clock = monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """state: what the room receives now. send: a message on its socket; ping: the shortest
        word there. sleep: seconds."""
        self._stills = stills
        self._state = state
        self._send = send
        self._queued = queued
        self._ping = ping
        self._now = now
        self._sleep = sleep
        self._wake = asyncio.Event()
        self._sent: int | None = None
        self._due = 0.0

    def wake(self) -> None:
        """Look again."""
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while await self._one():
                pass

    async def _one(self) -> bool:
        """Send the newest picture; whether there was one that the page has not."""
        state = self._state()
        if state is None or not wants_stills(state):
            # When stills are next wanted the page has forgotten them.
            self._sent = None
            return False
        found = self._stills.of(state)
        if found is None or found[0].number == self._sent:
            return False
        still, picture = found
        for message in messages(still, picture):
            if not await self._may_send():
                return False
            await self._send(message)
            size = len(message.data) if isinstance(message, StillPart) else PART_OVERHEAD
            self._spend(size + PART_OVERHEAD)
        self._sent = still.number
        await self._follow(state.round_trip or 0.0)
        return True

    async def _follow(self, round_trip: float) -> None:
        """Send words behind a picture until it was acknowledged. round_trip: s."""
        behind = 0
        for trips in (_WORD_TRIPS, *[_AGAIN_TRIPS] * (_WORDS - 1)):
            await self._sleep(max(trips * round_trip, _WORD_LEAST_SECONDS))
            waiting = self._queued()[1]
            if waiting <= behind:
                return
            await self._ping()
            behind += max(0, self._queued()[1] - waiting)

    async def _may_send(self) -> bool:
        """Wait for the next part's turn; False when the room wants no stills any more."""
        patience = self._now() + _GIVE_UP_SECONDS
        while True:
            state = self._state()
            if state is None or not wants_stills(state):
                return False
            wait = self._due - self._now()
            if wait <= 0.0:
                unsent, unacknowledged = self._queued()
                if unsent == 0 and unacknowledged <= state.stills_bitrate / 8 * _UNDER_WAY_SECONDS:
                    return True
                if self._now() > patience:
                    return False
            await self._sleep(max(wait, _LOOK_SECONDS))

    def _spend(self, size: int) -> None:
        state = self._state()
        if state is not None and state.stills_bitrate > 0.0:
            begun = max(self._due, self._now() - _AHEAD_SECONDS)
            self._due = begun + size * 8.0 / state.stills_bitrate
