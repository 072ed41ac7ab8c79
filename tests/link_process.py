"""The process that is a weak link: it carries IPv4 packets between two TUN devices.

Lives here: opening a TUN device in each of two network namespaces, the forwarding loop, counting
flows by what RFC 7983 lets an outsider see, and the commands that `tests.link` writes to it (JSON
lines, answered by JSON lines). Must not live here: what a link does (`tests.link_model`), making
namespaces, giving devices their addresses. Never started by hand.
"""

from __future__ import annotations

import ctypes
import fcntl
import gc
import heapq
import json
import os
import select
import struct
import sys
from collections import Counter
from dataclasses import fields
from typing import Any, Final

from classroom.clock import monotonic
from tests.link_model import Direction, LinkModel, Passage, Queue, Step

_TUNSETIFF: Final = 0x400454CA  # linux/if_tun.h
_IFF_TUN_NO_PI: Final = 0x0001 | 0x1000  # whole IP packets, without a header of the driver's own
_CLONE_NEWNET: Final = 0x40000000  # linux/sched.h
_PR_SET_TIMERSLACK: Final = 29  # linux/prctl.h
_STUN_COOKIE: Final = bytes.fromhex("2112a442")  # RFC 8489 5
_LARGEST: Final = 65_535
_AT_ONCE: Final = 64  # packets read from one device before the other has its turn
_DOWN, _UP = 0, 1


class _Way:
    """One direction: packets of `source` go to `target`."""

    def __init__(self, source: int, target: int, like: Direction, seed: int) -> None:
        self.source = source
        self.model = LinkModel(seed=seed)
        self.model.become(like, monotonic())
        self.late: Counter[int] = Counter()
        """Tenths of a millisecond that packets were written after their time → packets."""
        self.flows: dict[str, list[int]] = {}
        """What an outsider can tell apart → packets and bytes that arrived."""
        self._target = target
        self._serial = 0
        self._under_way: list[tuple[float, int, Passage, bytes]] = []

    def take(self) -> None:
        """Read what waits at the device."""
        for _ in range(_AT_ONCE):
            try:
                packet = os.read(self.source, _LARGEST)
            except BlockingIOError:
                return
            # The kernel's own chatter on a new device is IPv6.
            if packet[0] >> 4 != 4:
                continue
            passage = self.model.plan(len(packet), monotonic())
            if passage is not None and passage.arrival is not None:
                self._serial += 1
                heapq.heappush(self._under_way, (passage.arrival, self._serial, passage, packet))

    def give(self, now: float) -> float | None:
        """Write what has arrived by `now`; when the next one will have, or None."""
        under_way = self._under_way
        while under_way and under_way[0][0] <= now:
            due, _, _, packet = heapq.heappop(under_way)
            # A device that is down takes nothing.
            try:
                os.write(self._target, packet)
            except OSError:
                continue
            self.late[round((monotonic() - due) * 1e4)] += 1
            flow = self.flows.setdefault(_flow(packet), [0, 0])
            flow[0] += 1
            flow[1] += len(packet)
        return under_way[0][0] if under_way else None

    def changed(self) -> None:
        """The model was: some of what is under way arrives at another time, or never."""
        self._under_way = [
            (passage.arrival, serial, passage, packet)
            for _, serial, passage, packet in self._under_way
            if passage.arrival is not None
        ]
        heapq.heapify(self._under_way)

    def report(self, now: float) -> dict[str, Any]:
        """As `tests.link.Side` reads it."""
        counts = self.model.settle(now)
        told = {each.name: getattr(counts, each.name) for each in fields(counts)}
        return told | {"late": self.late, "flows": self.flows}


def _flow(packet: bytes) -> str:
    """A name for the flow of an IPv4 packet: RFC 7983 first bytes, RFC 5761 payload types."""
    start = (packet[0] & 15) * 4
    if packet[9] == 6:
        return "tcp"
    if packet[9] != 17:
        return "other"
    payload = packet[start + 8 :]
    if len(payload) < 12:
        return "udp"
    if payload[4:8] == _STUN_COOKIE:
        return "stun"
    first, second = payload[0], payload[1]
    if 20 <= first < 64:
        return "dtls"
    if not 128 <= first < 192:
        return "udp"
    if 192 <= second < 224:
        return "rtcp"
    padded = "+padding" if first & 32 else ""
    return f"rtp {second & 127} {int.from_bytes(payload[8:12], 'big')}{padded}"


def _open(device: str, namespace: int | None) -> int:
    """A TUN device in this thread's network namespace, or in that of the process `namespace`."""
    if namespace is not None:
        libc = ctypes.CDLL(None, use_errno=True)
        with open(f"/proc/{namespace}/ns/net", "rb") as space:
            if libc.setns(space.fileno(), _CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), f"cannot enter the network of {namespace}")
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH14x", device.encode(), _IFF_TUN_NO_PI))
    return descriptor


def _hurry() -> None:
    """Be woken in time: a link must not wait for the browsers that it joins."""
    ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1_000)  # ns
    gc.disable()  # nothing here makes rings
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        # Someone who is not root has a link that is late on a busy machine, and `late` says so.
        return


def _direction(told: dict[str, Any]) -> Direction:
    queue = told["queue"]
    return Direction(
        **{
            **told,
            "queue": None if queue is None else Queue(**queue),
            "script": tuple(Step(**step) for step in told["script"]),
        }
    )


def _obey(ways: list[_Way], command: dict[str, Any]) -> dict[str, Any]:
    now = monotonic()
    match command["do"]:
        case "follow":
            for way, name in zip(ways, ("down", "up"), strict=True):
                way.model.follow(tuple(Step(**step) for step in command[name]), now)
                way.changed()
        case "become":
            for way, name in zip(ways, ("down", "up"), strict=True):
                way.model.become(_direction(command[name]), now)
                way.changed()
        case "report":
            return {"at": now, "down": ways[_DOWN].report(now), "up": ways[_UP].report(now)}
    return {"at": now}


def main() -> int:
    """Carry packets until standard input ends."""
    told = json.loads(sys.argv[1])
    near = _open(told["device"], None)
    far = _open(told["device"], told["room"])
    ways = [
        _Way(near, far, _direction(told["down"]), 2 * told["seed"]),
        _Way(far, near, _direction(told["up"]), 2 * told["seed"] + 1),
    ]
    _hurry()
    print(json.dumps({"at": monotonic()}), flush=True)
    commands = sys.stdin.fileno()
    rest = b""
    while True:
        now = monotonic()
        times = [due for way in ways if (due := way.give(now)) is not None]
        patience = max(0.0, min(times) - monotonic()) if times else None
        ready, _, _ = select.select([near, far, commands], [], [], patience)
        for way in ways:
            if way.source in ready:
                way.take()
        if commands in ready:
            read = os.read(commands, 1 << 16)
            if not read:
                return 0
            *lines, rest = (rest + read).split(b"\n")
            for line in lines:
                print(json.dumps(_obey(ways, json.loads(line))), flush=True)


if __name__ == "__main__":
    sys.exit(main())
