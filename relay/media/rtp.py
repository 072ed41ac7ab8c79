"""RTP packets as bytes: where the parts of a header are, and how to make one (RFC 3550 5.1).

Here: header parsing with strict bounds, header extensions in both forms of RFC 8285, telling RTP
from RTCP on one port (RFC 5761), the URIs of the extensions we know. Not here: payload formats
(vp8, vp9, h264, av1), encryption. Parsing returns offsets into the bytes that came in; those are
forwarded or patched in place, never made anew.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

Buffer = bytes | bytearray | memoryview

HEADER_SIZE: Final = 12

# Extension URIs, as they stand in a=extmap.
TRANSPORT_CC: Final = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
MID: Final = "urn:ietf:params:rtp-hdrext:sdes:mid"
RID: Final = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
REPAIRED_RID: Final = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"
ABS_SEND_TIME: Final = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
ABS_CAPTURE_TIME: Final = "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time"
PLAYOUT_DELAY: Final = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"
DEPENDENCY_DESCRIPTOR: Final = (
    "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"
)
VIDEO_LAYERS_ALLOCATION: Final = (
    "http://www.webrtc.org/experiments/rtp-hdrext/video-layers-allocation00"
)
VIDEO_ORIENTATION: Final = "urn:3gpp:video-orientation"
AUDIO_LEVEL: Final = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
TRANSMISSION_OFFSET: Final = "urn:ietf:params:rtp-hdrext:toffset"
COLOR_SPACE: Final = "http://www.webrtc.org/experiments/rtp-hdrext/color-space"
VIDEO_CONTENT_TYPE: Final = "http://www.webrtc.org/experiments/rtp-hdrext/video-content-type"
VIDEO_TIMING: Final = "http://www.webrtc.org/experiments/rtp-hdrext/video-timing"

ONE_BYTE_PROFILE: Final = 0xBEDE
TWO_BYTE_PROFILE: Final = 0x1000
# The low four bits of the two-byte profile are for the application (RFC 8285 4.3).
TWO_BYTE_MASK: Final = 0xFFF0

_FIXED: Final = struct.Struct("!BBHII")
_EXTENSION: Final = struct.Struct("!HH")


class RtpError(ValueError):
    """Not an RTP packet that can be read; the subclass names the cause."""


class Truncated(RtpError):
    """The bytes end before what the header promises."""


class BadVersion(RtpError):
    """The first two bits are not 2."""


class BadPadding(RtpError):
    """The padding bit is set, but its count is zero or larger than what is there."""


class RtpHeader:
    """Where everything in one packet is. Offsets count from the packet's first byte."""

    __slots__ = (
        "csrc_count",
        "extension_length",
        "extension_offset",
        "extension_profile",
        "marker",
        "padding_length",
        "payload_end",
        "payload_offset",
        "payload_type",
        "sequence_number",
        "ssrc",
        "timestamp",
    )

    payload_type: int
    marker: bool
    sequence_number: int
    timestamp: int
    ssrc: int
    csrc_count: int
    extension_profile: int
    """The 16 bits that name the extension's form; 0 when there is no extension."""
    extension_offset: int
    """First byte after the four-byte extension head; 0 when there is none."""
    extension_length: int
    """Bytes of extension data, a multiple of 4, its head not counted."""
    payload_offset: int
    payload_end: int
    """One past the last payload byte; padding follows."""
    padding_length: int

    def __repr__(self) -> str:
        return (
            f"RtpHeader(pt={self.payload_type}, seq={self.sequence_number}, "
            f"ts={self.timestamp}, ssrc={self.ssrc:#x}, marker={self.marker}, "
            f"payload={self.payload_offset}:{self.payload_end})"
        )


def is_rtcp(data: Buffer) -> bool:
    """Whether a datagram of version 2 is RTCP rather than RTP (RFC 5761 4: types 192 to 223)."""
    return len(data) >= 2 and data[0] >> 6 == 2 and 192 <= data[1] <= 223


def parse(data: Buffer) -> RtpHeader:
    """Read the header of an unencrypted packet. Raises a subclass of RtpError."""
    size = len(data)
    if size < HEADER_SIZE:
        raise Truncated("shorter than the fixed header")
    first, second, sequence_number, timestamp, ssrc = _FIXED.unpack_from(data)
    if first >> 6 != 2:
        raise BadVersion("version is not 2")
    header = RtpHeader()
    header.payload_type = second & 0x7F
    header.marker = second > 0x7F
    header.sequence_number = sequence_number
    header.timestamp = timestamp
    header.ssrc = ssrc
    header.csrc_count = csrc_count = first & 0x0F
    offset = HEADER_SIZE + 4 * csrc_count
    if first & 0x10:
        if offset + 4 > size:
            raise Truncated("ends inside the extension head")
        header.extension_profile, words = _EXTENSION.unpack_from(data, offset)
        header.extension_offset = offset + 4
        header.extension_length = 4 * words
        offset += 4 + 4 * words
    else:
        header.extension_profile = header.extension_offset = header.extension_length = 0
    if offset > size:
        raise Truncated("ends inside the sources or the extension")
    padding = 0
    if first & 0x20:
        if offset == size:
            raise BadPadding("no room for a padding count")
        padding = data[size - 1]
        if padding == 0 or padding > size - offset:
            raise BadPadding("padding count does not fit")
    header.payload_offset = offset
    header.padding_length = padding
    header.payload_end = size - padding
    return header


def find_extension(data: Buffer, header: RtpHeader, ext_id: int) -> tuple[int, int] | None:
    """Offset and length of the data of extension `ext_id` (1 to 255), or None if it is not there.

    An element that runs over the block ends the search (what came before it counts), and so do
    the reserved identifiers of the one-byte form (RFC 8285 4.2): 15, and 0 with a length.
    """
    profile = header.extension_profile
    position = header.extension_offset
    end = position + header.extension_length
    if profile == ONE_BYTE_PROFILE:
        while position < end:
            head = data[position]
            if head == 0:
                position += 1
                continue
            found = head >> 4
            length = (head & 0x0F) + 1
            position += 1
            if found == 15 or found == 0 or position + length > end:
                return None
            if found == ext_id:
                return position, length
            position += length
    elif profile & TWO_BYTE_MASK == TWO_BYTE_PROFILE:
        while position < end:
            found = data[position]
            if found == 0:
                position += 1
                continue
            if position + 2 > end:
                return None
            length = data[position + 1]
            position += 2
            if position + length > end:
                return None
            if found == ext_id:
                return position, length
            position += length
    return None


def extensions(data: Buffer, header: RtpHeader) -> dict[int, tuple[int, int]]:
    """All elements of the extension block: identifier → (offset, length); the first one wins."""
    result: dict[int, tuple[int, int]] = {}
    profile = header.extension_profile
    one_byte = profile == ONE_BYTE_PROFILE
    if not one_byte and profile & TWO_BYTE_MASK != TWO_BYTE_PROFILE:
        return result
    position = header.extension_offset
    end = position + header.extension_length
    while position < end:
        head = data[position]
        position += 1
        if head == 0:
            continue
        if one_byte:
            found = head >> 4
            length = (head & 0x0F) + 1
            if found == 15 or found == 0:
                break
        else:
            if position >= end:
                break
            found = head
            length = data[position]
            position += 1
        if position + length > end:
            break
        result.setdefault(found, (position, length))
        position += length
    return result


def build_extension_block(items: Sequence[tuple[int, bytes]]) -> bytes:
    """The block for `items` of (identifier, data), its four-byte head included; b"" for none.

    One-byte form when it can carry all of them, else two-byte. Raises ValueError when an
    identifier is outside 1 to 255 or data is longer than 255 bytes.
    """
    if not items:
        return b""
    body = bytearray()
    if all(1 <= ext_id <= 14 and 1 <= len(value) <= 16 for ext_id, value in items):
        profile = ONE_BYTE_PROFILE
        for ext_id, value in items:
            body.append(ext_id << 4 | len(value) - 1)
            body += value
    else:
        profile = TWO_BYTE_PROFILE
        for ext_id, value in items:
            if not 1 <= ext_id <= 255 or len(value) > 255:
                raise ValueError("extension identifier or length out of range")
            body += bytes((ext_id, len(value)))
            body += value
    body += bytes(-len(body) % 4)
    return _EXTENSION.pack(profile, len(body) // 4) + bytes(body)


def build(
    payload_type: int,
    marker: bool,
    seq: int,
    ts: int,
    ssrc: int,
    extension_block: bytes,
    payload: Buffer,
) -> bytes:
    """One packet without sources or padding. `seq` and `ts` are cut to 16 and 32 bits."""
    return b"".join(
        (
            _FIXED.pack(
                0x90 if extension_block else 0x80,
                payload_type | (0x80 if marker else 0),
                seq & 0xFFFF,
                ts & 0xFFFFFFFF,
                ssrc,
            ),
            extension_block,
            payload,
        )
    )
