"""Sends runs of media to two viewers over whatever network it is started in, and says what came.

`python -m tests.live.fan_out_process SIZE…` prints one line of JSON: for each size of packet how
many packets each viewer could undo, and the counters of the fan-out at the end. Here: real sockets
and SRTP. Not here: which network that is (`networks`), what is right (`test_fan_out`).
"""

from __future__ import annotations

import dataclasses
import json
import socket
import struct
import sys
from typing import Final

from pylibsrtp import Error, Policy, Session

from classroom.clock import monotonic
from relay.sfu.leg import Leg
from relay.sfu.negotiated import SlotSpec
from relay.sfu.packet import Outgoing
from relay.transport.fanout import NativeFanOut
from relay.transport.send_log import SendLogs
from relay.transport.wire import Wire

_RUN: Final = 4
_VIEWERS: Final = 2
_TAG: Final = 16
_KEY: Final = bytes(range(28))  # AES-128 key and salt (RFC 7714 §12)


def _session(ssrc_type: int) -> Session:
    return Session(
        Policy(key=_KEY, ssrc_type=ssrc_type, srtp_profile=Policy.SRTP_PROFILE_AEAD_AES_128_GCM)
    )


class _Viewer:
    def __init__(self, logs: SendLogs) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(1.0)
        port = int(self.socket.getsockname()[1])
        wire = Wire(_session(Policy.SSRC_ANY_OUTBOUND), _session(Policy.SSRC_ANY_INBOUND), _TAG)
        family = int(socket.AF_INET).to_bytes(2, sys.byteorder)
        address = family + port.to_bytes(2, "big") + socket.inet_aton("127.0.0.1") + bytes(8)
        wire.set_address(address)
        wire.begin_log(logs)
        self.leg: Leg[Wire] = Leg(wire, SlotSpec("camera", "1", "video", 7, 8, ()))
        self._inbound = _session(Policy.SSRC_ANY_INBOUND)

    def count(self, expected: int) -> int:
        """How many of `expected` packets come and can be undone."""
        good = 0
        for _ in range(expected):
            try:
                self._inbound.unprotect(self.socket.recv(65_536))
            except (TimeoutError, Error):
                break
            good += 1
        return good


def main() -> None:
    """One run of each size."""
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    logs = SendLogs(_VIEWERS)
    fan_out = NativeFanOut(sender.fileno(), logs, monotonic)
    viewers = [_Viewer(logs) for _ in range(_VIEWERS)]
    received: dict[int, list[int]] = {}
    sequence = 0
    for size in map(int, sys.argv[1:]):
        run = []
        for _ in range(_RUN):
            data = struct.pack("!BBHII", 0x80, 96, 0, 0, 7).ljust(size, b"\x55")
            run.append(Outgoing(data, sequence, 90 * sequence))
            sequence += 1
        fan_out.fan_out([(run, [viewer.leg for viewer in viewers])], 0.0)
        received[size] = [viewer.count(_RUN) for viewer in viewers]
    print(json.dumps({"received": received, "counters": dataclasses.asdict(fan_out.counters)}))


if __name__ == "__main__":
    main()
