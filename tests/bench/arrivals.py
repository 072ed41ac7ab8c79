"""Reading hundreds of UDP sockets in one process, with the kernel's own time of each arrival.

A delay measured with these times is free of this program's scheduling. asyncio would spend more on
each readable socket than its owner does, so all sockets are in one epoll and the loop watches that;
they share buffers, since they are read one after the other. Not here: what the datagrams mean.
"""

from __future__ import annotations

import asyncio
import select
import socket
import struct
from collections.abc import Callable
from typing import Final

from relay.transport.native import CData, ffi, libc, new_buffer

SO_TIMESTAMPNS: Final = 35  # asm-generic/socket.h
SLOT: Final = 2048
_BATCH: Final = 64
_CONTROL: Final = 64
_STAMP: Final = struct.Struct("=QiiQQ").unpack_from
# struct mmsghdr as sixteen words of 32 bits.
_WORDS: Final = 16
_CONTROL_LENGTH, _MESSAGE_LENGTH = 10, 14


class Arrivals:
    """All sockets that are read on one event loop. Make it inside the running loop."""

    def __init__(self) -> None:
        memory, self.view, base = new_buffer(_BATCH * SLOT)
        """What `read` read: datagram `index` begins at `index` × `SLOT`."""
        self._memory = memory
        self._control = ffi.new("char[]", _BATCH * _CONTROL)
        self._control_view = ffi.buffer(self._control)
        self._iov = ffi.new("struct iovec[]", _BATCH)
        self._messages: CData = ffi.new("struct mmsghdr[]", _BATCH)
        self._words = memoryview(ffi.buffer(self._messages)).cast("B").cast("I")
        for index in range(_BATCH):
            self._iov[index].iov_base = ffi.cast("void *", base + index * SLOT)
            self._iov[index].iov_len = SLOT
            header = self._messages[index].msg_hdr
            header.msg_iov = self._iov + index
            header.msg_iovlen = 1
            header.msg_control = self._control + index * _CONTROL
            header.msg_controllen = _CONTROL
        self._epoll = select.epoll()
        self._readers: dict[int, Callable[[], None]] = {}
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._epoll.fileno(), self._readable)

    def add(self, sock: socket.socket, reader: Callable[[], None]) -> None:
        """Call `reader`, which calls `read`, whenever `sock` has something."""
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self._readers[sock.fileno()] = reader
        self._epoll.register(sock.fileno(), select.EPOLLIN)

    def remove(self, sock: socket.socket) -> None:
        """Forget `sock`, which is open still."""
        del self._readers[sock.fileno()]
        self._epoll.unregister(sock.fileno())

    def close(self) -> None:
        """Read no more."""
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    def read(self, sock: socket.socket) -> list[int]:
        """Read what waits; the sizes of the datagrams, in bytes."""
        words = self._words
        count = libc.recvmmsg(sock.fileno(), self._messages, _BATCH, 0, ffi.NULL)
        sizes = []
        for at in range(0, count * _WORDS, _WORDS):
            sizes.append(words[at + _MESSAGE_LENGTH])
            words[at + _CONTROL_LENGTH] = _CONTROL  # the kernel wrote what it used
        return sizes

    def arrived(self, index: int) -> float:
        """When datagram `index` of the last `read` came: Unix seconds."""
        _, _, _, seconds, nanoseconds = _STAMP(self._control_view, index * _CONTROL)
        return float(seconds + nanoseconds / 1e9)

    def _readable(self) -> None:
        readers = self._readers
        for fd, _ in self._epoll.poll(0):
            readers[fd]()
