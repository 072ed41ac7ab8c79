"""The few native calls of the media process: `recvmmsg`, `sendmmsg` and libsrtp on raw memory.

Everything that touches a C pointer is typed and named here, so that `udp` and `fanout` read like
Python. libsrtp is the copy inside the pylibsrtp wheel; its private `_binding` module is used
because the public `Session.protect` copies twice and gives the interpreter lock up per packet.
No compiler is needed: cffi opens the C library that Python itself runs on. Linux only.
A contract test guards the private members named here (tests/relay/test_aiortc_contract.py).
"""

from __future__ import annotations

import errno
from typing import Any, Final

import cffi
from pylibsrtp import Session
from pylibsrtp._binding import ffi as srtp_ffi
from pylibsrtp._binding import lib as srtp_lib

# Opaque C values. cffi ships no types; these aliases say what a name holds.
CData = Any

ffi: Final = cffi.FFI()
ffi.cdef(
    """
    struct iovec { void *iov_base; size_t iov_len; };
    struct msghdr {
        void *msg_name; unsigned int msg_namelen;
        struct iovec *msg_iov; size_t msg_iovlen;
        void *msg_control; size_t msg_controllen; int msg_flags;
    };
    struct mmsghdr { struct msghdr msg_hdr; unsigned int msg_len; };
    int sendmmsg(int fd, struct mmsghdr *v, unsigned int n, int flags);
    long sendto(int fd, const char *data, size_t size, int flags,
                const char *address, unsigned int address_size);
    int connect(int fd, const char *address, unsigned int address_size);
    int recvmmsg(int fd, struct mmsghdr *v, unsigned int n, int flags, void *timeout);
    """
)
libc: Final = ffi.dlopen(None)

SOL_UDP: Final = 17
UDP_SEGMENT: Final = 103  # linux/udp.h: one send is cut into datagrams of this size
SOCKADDR_BYTES: Final = 28  # sizeof(struct sockaddr_in6), the larger of the two

protect: Final = srtp_lib.srtp_protect
protect_rtcp: Final = srtp_lib.srtp_protect_rtcp
unprotect: Final = srtp_lib.srtp_unprotect
unprotect_rtcp: Final = srtp_lib.srtp_unprotect_rtcp
SRTP_OK: Final[int] = srtp_lib.srtp_err_status_ok
# srtp_err_status_replay_fail and _replay_old of srtp.h, which the binding does not name.
SRTP_REPLAYED: Final = frozenset((9, 10))


def srtp_context(session: Session) -> CData:
    """The `srtp_t` inside a pylibsrtp session; valid while `session` is referenced."""
    return session._srtp[0]


def new_buffer(size: int) -> tuple[CData, memoryview, int]:
    """`size` zeroed bytes of C memory: as libsrtp takes it, as Python writes it, its address.

    The memory lives as long as the first value is referenced.
    """
    memory = srtp_ffi.new("char[]", size)
    view = memoryview(srtp_ffi.buffer(memory)).cast("B")
    return memory, view, int(srtp_ffi.cast("uintptr_t", memory))


def new_lengths(count: int) -> tuple[CData, memoryview]:
    """`count` times libsrtp's in-out length, an `int`: as libsrtp takes them, as Python does."""
    lengths = srtp_ffi.new("int[]", count)
    return lengths, memoryview(srtp_ffi.buffer(lengths)).cast("B").cast("i")


def last_error() -> int:
    """`errno` of the last call through `libc`."""
    return int(ffi.errno)


# Errors of a send that concern one destination only; the rest of the batch goes on.
# EAGAIN means that the socket's buffer is full: what is left is dropped and repaired by NACK.
SEND_BUFFER_FULL: Final = frozenset((errno.EAGAIN, errno.ENOBUFS))
