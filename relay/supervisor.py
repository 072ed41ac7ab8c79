"""What systemd is told by the process that it started (sd_notify(3)): ready, alive, stopping.

One datagram to the socket that it names; without one nothing is told to anybody. Not here: when any
of it is so (`relay.node`).
"""

from __future__ import annotations

import contextlib
import os
import socket

READY = "READY=1"
ALIVE = "WATCHDOG=1"
STOPPING = "STOPPING=1"


def tell(state: str) -> None:
    """`state` is one of the above. Never fails: that a supervisor is not told ends no lesson."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address[:1] not in ("/", "@"):
        return
    # An abstract address begins with a zero byte (unix(7)).
    name = "\0" + address[1:] if address[0] == "@" else address
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.sendto(state.encode(), name)
