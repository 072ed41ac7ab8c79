"""`python -m tests.live.link_peer`: either end of a link under test, over UDP and TCP.

Lives here: sending stamped datagrams at a given pace, noting when they arrive, and one TCP
transfer. Must not live here: what is expected. Both ends read the same monotonic clock.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import selectors
import socket
import struct
import sys
import time
from typing import Final

PORT: Final = 5_000
HEADERS: Final = 28  # bytes of IPv4 and UDP that a datagram has on the link
_STAMP: Final = struct.Struct("!Id")  # number, sent at (s)


def send(host: str, plan: str) -> None:
    """Send datagrams as `plan` says: [[how many, seconds between, bytes of the IP packet], …]."""
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    number = 0
    due = time.monotonic()
    for count, gap, size in json.loads(plan):
        for _ in range(count):
            time.sleep(max(0.0, due - time.monotonic()))
            stamp = _STAMP.pack(number, time.monotonic())
            sender.sendto(stamp.ljust(size - HEADERS, b"."), (host, PORT))
            number += 1
            due += gap


def transfer(host: str, size: str) -> None:
    """Send that many bytes over TCP, and print the digest that the other end returns."""
    data = bytes(index * index % 251 for index in range(int(size)))
    with socket.create_connection((host, PORT)) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(64)
    print(json.dumps(answer == hashlib.sha256(data).hexdigest().encode()))


def receive() -> None:
    """Answer TCP transfers and note datagrams until standard input ends; print the notes.

    The notes are [[number, sent at, arrived at, bytes of the IP packet], …].
    """
    notes: list[tuple[int, float, float, int]] = []
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind(("", PORT))
    datagrams.setblocking(False)
    listener = socket.create_server(("", PORT))
    waiting = selectors.DefaultSelector()
    for one in (datagrams, listener, sys.stdin):
        waiting.register(one, selectors.EVENT_READ)
    print("ready", flush=True)
    ended = False
    while not ended:
        ready = [key.fileobj for key, _ in waiting.select()]
        ended = sys.stdin in ready
        with contextlib.suppress(BlockingIOError):
            while True:
                data = datagrams.recv(2_048)
                number, sent_at = _STAMP.unpack_from(data)
                notes.append((number, sent_at, time.monotonic(), len(data) + HEADERS))
        if listener in ready:
            _answer(listener)
    print(json.dumps(notes))


def _answer(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    digest = hashlib.sha256()
    with connection:
        while data := connection.recv(1 << 16):
            digest.update(data)
        connection.sendall(digest.hexdigest().encode())


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["send", host, plan]:
            send(host, plan)
        case ["transfer", host, size]:
            transfer(host, size)
        case ["receive"]:
            receive()
