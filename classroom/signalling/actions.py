"""What a session asks of the shell around it.

The shell carries actions out in order: `Send` and `Close` on the socket, `Opened` and `Received`
by doing what the message asks for. Nothing here decides anything. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

from classroom.wire import Hello, Message, RelayHello


@dataclass(frozen=True, slots=True)
class Send:
    """Send this message."""

    message: Message


@dataclass(frozen=True, slots=True)
class Close:
    """Close the socket with this code (RFC 6455 §7.4) and reason; nothing follows it."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Opened:
    """The peer introduced itself; answer with Session.send(), or Session.refuse()."""

    hello: Hello | RelayHello


@dataclass(frozen=True, slots=True)
class Received:
    """A message that the session does not answer by itself."""

    message: Message


Action = Send | Close | Opened | Received
