"""The answering side of a WebSocket: introduction first, ping and pong, timeouts, refusals.

PROTOCOL.md of `classroom.wire`, section Connections. What a message means is not decided here;
that is for whoever takes the actions. `now` is in seconds on a clock that never jumps; the date
that peers are told is `now + wall_offset`. Pure.
"""

from __future__ import annotations

import math
from typing import Final

from classroom.errors import Absent, Refused
from classroom.signalling.actions import Action, Close, Opened, Received, Send
from classroom.wire import (
    CatchUp,
    Error,
    Hello,
    Message,
    Ping,
    Pong,
    RelayArchive,
    RelayBelow,
    RelayHello,
    RelayLesson,
    RelayRooms,
    TrunkWants,
    VoiceWish,
    Watching,
    decode,
)

# A peer pings every 10 s: three in a row must be lost before it is given up.
SILENCE_S: Final = 30.0
# A slow link takes 2 s for the handshake and the first message; a stranger gets no more than this.
HELLO_S: Final = 10.0
# Each refusal is one answer to one message; a peer that keeps on is broken or hostile.
MAX_REFUSALS: Final = 20
NORMAL: Final = 1000
GOING_AWAY: Final = 1001
CANNOT_SERVE: Final = 1011

_AFTER_HELLO: Final[dict[type[Hello] | type[RelayHello], tuple[type[Message], ...]]] = {
    Hello: (Watching, CatchUp),
    RelayHello: (RelayLesson, RelayRooms, VoiceWish, RelayArchive, RelayBelow, TrunkWants),
}


def close_code(status: int) -> int:
    """The WebSocket close code for a problem of HTTP `status`: 4000 + status below 500."""
    return 4000 + status if 400 <= status < 500 else CANNOT_SERVE


class Session:
    """One peer's conversation. Feed it, then take and carry out its actions.

    first: what the peer must introduce itself with, Hello (pages) or RelayHello (relays).
    """

    def __init__(
        self, first: type[Hello] | type[RelayHello], now: float, *, wall_offset: float
    ) -> None:
        self._first = first
        self.wall_offset = wall_offset
        """Set it anew before each call where the date may jump: it is told and runs tokens out."""
        self._actions: list[Action] = []
        self._opened = False
        self._closed = False
        self._deadline = now + HELLO_S
        self._expires = math.inf
        self._refusals = 0

    @property
    def closed(self) -> bool:
        """Whether the last action was, or will be, a Close."""
        return self._closed

    def expire_at(self, date: float) -> None:
        """The peer's token is good until `date`, unix seconds; then the conversation ends."""
        self._expires = date

    def receive_message(self, raw: bytes, now: float) -> None:
        """Take one binary message as it came."""
        if self._closed:
            return
        if self._opened:
            self._deadline = now + SILENCE_S
        try:
            message = decode(raw)
        except Refused as error:
            # Bytes that are no message at all: there is no telling what the peer speaks.
            if error.code in ("wire-unknown-kind", "wire-bad-field") and self._opened:
                self._answer_refusal(error)
            else:
                self.refuse(error)
            return
        match message:
            case Ping(t=t) if self._opened:
                self._actions.append(Send(Pong(t, now + self.wall_offset)))
            case Hello() | RelayHello() if not self._opened and isinstance(message, self._first):
                self._opened = True
                self._deadline = now + SILENCE_S
                self._actions.append(Opened(message))
            case _ if self._opened and isinstance(message, _AFTER_HELLO[self._first]):
                self._actions.append(Received(message))
            case _ if self._opened:
                self._answer_refusal(_unexpected(message.kind))
            case _:
                self.refuse(_unexpected(message.kind))

    def receive_text(self) -> None:
        """Take note of a text frame, which this protocol does not have."""
        self.refuse(
            Refused(
                400,
                "wire-malformed",
                "A text message came where binary ones are spoken.",
                fix="Reload the page.",
            )
        )

    def handle_timer(self, now: float) -> None:
        """Call at `get_timer()`; calling early does nothing."""
        if now + self.wall_offset >= self._expires:
            self.refuse(
                Refused(
                    401,
                    "token-expired",
                    "The link has expired.",
                    fix="Ask the person who sent it for a new link.",
                )
            )
        if now >= self._deadline:
            self.refuse(
                Refused(
                    408,
                    "peer-silent",
                    "Nothing was heard for too long.",
                    fix="The page connects again by itself; if not, reload it.",
                )
            )

    def get_timer(self) -> float | None:
        """When `handle_timer` wants to be called, on the clock of `now`; None once closed."""
        return None if self._closed else min(self._deadline, self._expires - self.wall_offset)

    def send(self, message: Message) -> None:
        """Queue `message`; after a close it is dropped."""
        if not self._closed:
            self._actions.append(Send(message))

    def refuse(self, error: Refused | Absent) -> None:
        """Tell the peer what is wrong, then close with the matching code."""
        if self._closed:
            return
        self._actions.append(Send(_error_message(error)))
        code = close_code(error.status) if isinstance(error, Refused) else CANNOT_SERVE
        self.close(code, error.code if isinstance(error, Refused) else "absent")

    def close(self, code: int = GOING_AWAY, reason: str = "server stops") -> None:
        """Close without an error message; what was queued is sent first."""
        if not self._closed:
            self._closed = True
            self._actions.append(Close(code, reason))

    def take_actions(self) -> list[Action]:
        """What to carry out now, in order; each action is given once."""
        actions, self._actions = self._actions, []
        return actions

    def tell(self, error: Refused | Absent) -> None:
        """Send an error about one message and keep the conversation."""
        self.send(_error_message(error))

    def _answer_refusal(self, error: Refused) -> None:
        self._refusals += 1
        if self._refusals >= MAX_REFUSALS:
            self.refuse(error)
        else:
            self.tell(error)


def _error_message(error: Refused | Absent) -> Error:
    if isinstance(error, Absent):
        return Error("absent", error.what[:1000], error.fix[:1000])
    return Error(error.code, error.detail[:1000], error.fix[:1000])


def _unexpected(kind: str) -> Refused:
    return Refused(
        400,
        "wire-unexpected",
        f"A message of kind {kind!r} cannot come here or now.",
        fix="Reload the page; if it stays so, page and server are of versions that do not fit.",
    )
