"""The calling side of a WebSocket: introduces itself, pings, and notices that the link is gone.

Used by a relay towards the control plane; a browser page does the same in its own language.
PROTOCOL.md of `classroom.wire`, section Connections. `now` is in seconds on a clock that never
jumps. Pure.
"""

from __future__ import annotations

from typing import Final

from classroom.errors import Refused
from classroom.signalling.actions import Action, Close, Received, Send
from classroom.signalling.session import SILENCE_S
from classroom.wire import Hello, Message, Ping, Pong, RelayHello, decode

PING_S: Final = 10.0
_FIRST_RETRY_S: Final = 1.0
_LAST_RETRY_S: Final = 30.0


def retry_delay(attempt: int, spread: float) -> float:
    """Seconds to wait before connecting again.

    attempt: 0 for the first retry; spread: random, 0 to 1, so that 200 callers whose server
    restarts do not come back in the same instant.
    """
    full = min(_FIRST_RETRY_S * 2.0 ** min(attempt, 10), _LAST_RETRY_S)
    return full * (0.5 + 0.5 * spread)


class Caller:
    """One connection, from its opening on. Feed it, then carry out its actions.

    Received actions are the server's messages, its `error` among them.
    """

    def __init__(self, hello: Hello | RelayHello, now: float) -> None:
        self._actions: list[Action] = [Send(hello)]
        self._next_ping = now + PING_S
        self._deadline = now + SILENCE_S
        self._closed = False
        # Server date minus our clock, seconds; None until the first pong.
        self.wall_offset: float | None = None

    def receive_message(self, raw: bytes, now: float) -> None:
        """Take one binary message; one that cannot be read closes the connection (4400)."""
        if self._closed:
            return
        try:
            message = decode(raw)
        except Refused as error:
            # A newer server may speak of things that we do not know; all else is not our server.
            if error.code not in ("wire-unknown-kind", "wire-bad-field"):
                self._close(4400, error.code)
            return
        self._deadline = now + SILENCE_S
        if isinstance(message, Pong):
            # Half the round trip is the best guess of when the server looked at its clock.
            self.wall_offset = message.server_time - (now + message.t) / 2.0
        else:
            self._actions.append(Received(message))

    def handle_timer(self, now: float) -> None:
        """Call at `get_timer()`; calling early does nothing."""
        if self._closed:
            return
        if now >= self._deadline:
            self._close(4408, "server silent")
        elif now >= self._next_ping:
            self._next_ping = now + PING_S
            self._actions.append(Send(Ping(now)))

    def get_timer(self) -> float | None:
        """When `handle_timer` wants to be called; None once closed."""
        return None if self._closed else min(self._next_ping, self._deadline)

    def send(self, message: Message) -> None:
        """Queue `message`; after a close it is dropped."""
        if not self._closed:
            self._actions.append(Send(message))

    def take_actions(self) -> list[Action]:
        """What to carry out now, in order; each action is given once."""
        actions, self._actions = self._actions, []
        return actions

    def _close(self, code: int, reason: str) -> None:
        self._closed = True
        self._actions.append(Close(code, reason))
