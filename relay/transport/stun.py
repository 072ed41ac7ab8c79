"""The one STUN exchange that ICE has: a Binding request and its answer (RFC 8489), both sides.

Two hundred rooms check their consent eighty times a second, in the process where nothing may make
a packet wait; a general STUN library takes ten times as long for it. So a request is read in one
pass, and an answer is written with one HMAC. The requests that a relay makes itself are those of
its trunk (`ice_client`). aioice is the independent peer of the tests.
"""

from __future__ import annotations

import hmac
import struct
import zlib
from dataclasses import dataclass
from typing import Final

MAGIC_COOKIE: Final = 0x2112A442
BINDING_REQUEST: Final = 0x0001
BINDING_SUCCESS: Final = 0x0101
BINDING_ERROR: Final = 0x0111
USERNAME: Final = 0x0006
MESSAGE_INTEGRITY: Final = 0x0008
ERROR_CODE: Final = 0x0009
XOR_MAPPED_ADDRESS: Final = 0x0020
PRIORITY: Final = 0x0024
USE_CANDIDATE: Final = 0x0025
FINGERPRINT: Final = 0x8028
ICE_CONTROLLED: Final = 0x8029
ICE_CONTROLLING: Final = 0x802A
FINGERPRINT_XOR: Final = 0x5354554E
_HEAD: Final = struct.Struct("!HHI12s")
_ATTRIBUTE: Final = struct.Struct("!HH")
_INTEGRITY_SIZE: Final = 24
_FINGERPRINT_SIZE: Final = 8
_MAPPED: Final = bytes(10) + b"\xff\xff"  # ::ffff:0:0/96


@dataclass(slots=True)
class Request:
    """A Binding request as read; nothing in it is believed before `is_authentic`."""

    data: bytes
    transaction: bytes
    username: str
    nominated: bool
    controlled: bool
    integrity_at: int

    def is_authentic(self, password: bytes) -> bool:
        """Whether MESSAGE-INTEGRITY was made with `password` (RFC 8489 §14.5)."""
        at = self.integrity_at
        signed = _with_length(self.data[:at], at - 20 + _INTEGRITY_SIZE)
        expected = hmac.digest(password, signed, "sha1")
        return hmac.compare_digest(expected, self.data[at + 4 : at + _INTEGRITY_SIZE])


def read_request(data: bytes) -> Request | None:
    """A Binding request with USERNAME and MESSAGE-INTEGRITY, None for anything else.

    A FINGERPRINT, where there is one, must be right. Attributes behind the integrity are not
    believed (RFC 8489 §14.5), unknown ones are passed over.
    """
    size = len(data)
    if size < 20:
        return None
    kind, length, cookie, transaction = _HEAD.unpack_from(data)
    if kind != BINDING_REQUEST or cookie != MAGIC_COOKIE or length != size - 20 or length % 4:
        return None
    username = ""
    nominated = controlled = False
    integrity_at = 0
    position = 20
    while position < size:
        attribute, width = _ATTRIBUTE.unpack_from(data, position)
        following = position + 4 + (width + 3 & ~3)
        if following > size:
            return None
        if attribute == FINGERPRINT:
            if width != 4 or following != size or not _fingerprint_fits(data, position):
                return None
        elif integrity_at:
            pass
        elif attribute == MESSAGE_INTEGRITY:
            if width != 20:
                return None
            integrity_at = position
        elif attribute == USERNAME:
            # RFC 8489 §14.3: fewer than 509 bytes.
            username = data[position + 4 : position + 4 + min(width, 508)].decode(
                "utf-8", "replace"
            )
        elif attribute == USE_CANDIDATE:
            nominated = True
        elif attribute == ICE_CONTROLLED:
            controlled = True
        position = following
    if not username or not integrity_at:
        return None
    return Request(data, transaction, username, nominated, controlled, integrity_at)


def write_success(request: Request, password: bytes, address: bytes) -> bytes:
    """The success response; `address` is the raw sockaddr that the request came from."""
    port = (address[2] << 8 | address[3]) ^ (MAGIC_COOKIE >> 16)
    if len(address) == 16:
        family, host = 1, address[4:8]
    elif address[8:20] == _MAPPED:
        # On a socket for both families an IPv4 peer has such an address, which it does not know.
        family, host = 1, address[20:24]
    else:
        family, host = 2, address[8:24]
    mask = MAGIC_COOKIE.to_bytes(4, "big") + request.transaction
    xored = bytes(one ^ other for one, other in zip(host, mask, strict=False))
    value = struct.pack("!BBH", 0, family, port) + xored
    return _sign(BINDING_SUCCESS, request, XOR_MAPPED_ADDRESS, value, password)


def write_check(
    transaction: bytes,
    username: str,
    password: bytes,
    priority: int,
    tie_breaker: int,
    *,
    nominate: bool,
) -> bytes:
    """A controlling agent's connectivity check (RFC 8445 §7.2.2).

    transaction: 12 random bytes. username: "THEIRS:OURS". password: theirs. nominate: with
    USE-CANDIDATE.
    """
    name = username.encode()
    body = _ATTRIBUTE.pack(USERNAME, len(name)) + name + bytes(-len(name) % 4)
    body += _ATTRIBUTE.pack(PRIORITY, 4) + priority.to_bytes(4, "big")
    body += _ATTRIBUTE.pack(ICE_CONTROLLING, 8) + tie_breaker.to_bytes(8, "big")
    if nominate:
        body += _ATTRIBUTE.pack(USE_CANDIDATE, 0)
    return _signed(BINDING_REQUEST, transaction, body, password)


@dataclass(slots=True)
class Response:
    """A Binding response as read. succeeded: False for an error. Believe it only once
    `is_authentic`."""

    data: bytes
    transaction: bytes
    succeeded: bool
    integrity_at: int

    def is_authentic(self, password: bytes) -> bool:
        """Whether MESSAGE-INTEGRITY was made with `password`, the one that the request had."""
        at = self.integrity_at
        signed = _with_length(self.data[:at], at - 20 + _INTEGRITY_SIZE)
        expected = hmac.digest(password, signed, "sha1")
        return hmac.compare_digest(expected, self.data[at + 4 : at + _INTEGRITY_SIZE])


def read_response(data: bytes) -> Response | None:
    """A Binding response with MESSAGE-INTEGRITY, None for anything else."""
    size = len(data)
    if size < 20:
        return None
    kind, length, cookie, transaction = _HEAD.unpack_from(data)
    if kind not in (BINDING_SUCCESS, BINDING_ERROR) or cookie != MAGIC_COOKIE:
        return None
    if length != size - 20 or length % 4:
        return None
    position = 20
    while position < size:
        attribute, width = _ATTRIBUTE.unpack_from(data, position)
        if position + 4 + (width + 3 & ~3) > size:
            return None
        if attribute == MESSAGE_INTEGRITY:
            if width != 20:
                return None
            return Response(data, transaction, kind == BINDING_SUCCESS, position)
        position += 4 + (width + 3 & ~3)
    return None


def write_role_conflict(request: Request, password: bytes) -> bytes:
    """487 Role Conflict (RFC 8445 §7.3.1.1)."""
    value = struct.pack("!HBB", 0, 4, 87) + b"Role Conflict\0\0\0"
    return _sign(BINDING_ERROR, request, ERROR_CODE, value, password)


def _sign(kind: int, request: Request, attribute: int, value: bytes, password: bytes) -> bytes:
    width = 13 + 4 if attribute == ERROR_CODE else len(value)
    body = _ATTRIBUTE.pack(attribute, width) + value
    return _signed(kind, request.transaction, body, password)


def _signed(kind: int, transaction: bytes, body: bytes, password: bytes) -> bytes:
    length = len(body) + _INTEGRITY_SIZE
    message = _HEAD.pack(kind, length, MAGIC_COOKIE, transaction) + body
    digest = hmac.digest(password, message, "sha1")
    message += _ATTRIBUTE.pack(MESSAGE_INTEGRITY, 20) + digest
    message = _with_length(message, length + _FINGERPRINT_SIZE)
    crc = zlib.crc32(message) ^ FINGERPRINT_XOR
    return message + _ATTRIBUTE.pack(FINGERPRINT, 4) + crc.to_bytes(4, "big")


def _with_length(data: bytes, length: int) -> bytes:
    return data[:2] + length.to_bytes(2, "big") + data[4:]


def _fingerprint_fits(data: bytes, at: int) -> bool:
    crc = zlib.crc32(data[:at]) ^ FINGERPRINT_XOR
    return data[at + 4 : at + 8] == crc.to_bytes(4, "big")
