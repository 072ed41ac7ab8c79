"""FlexFEC as browsers have it: draft-ietf-payload-flexible-fec-scheme-03, one protected stream.

Here: the repair packets of one video to one viewer, and how much protection a link needs. Each
repair packet is the exclusive or of some media packets, so that any one of them can be had from
the others. With several interleaved (packet i is in repair i modulo their number), as many packets
in a row may be lost. Not here: sending, budgets, who wants it. What libwebrtc changes on the way
(the transport-wide number) counts as zero, as its `ZeroMutableExtensions` has it. Pure.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Final

from relay.media import playout, rtp

# A mask of 46 bits, the draft's middle size; libwebrtc's own encoder never protects more than 48.
SPAN: Final = 46
_MASK_BITS: Final = (15, 46)
_HEAD: Final = struct.Struct("!QB3xIH")
_NUMBER: Final = struct.Struct("!H")
# R and F are 0: a repair packet with a mask (§4.2 of the draft).
_FLAGS: Final = 0xC0 << 56

# What may stay lost, a share of all packets: a picture of five packets is then whole 98 times in
# a hundred, and the rest is left to resends.
TARGET: Final = 0.004
LEAST_LOSS: Final = 0.005
LEAST_PACKETS: Final = 2  # that one repair packet protects: half as much again
MOST_PACKETS: Final = 20
MOST_ROWS: Final = 8


@dataclass(frozen=True, slots=True)
class Protection:
    """packets: how many each repair packet protects. rows: how many are interleaved."""

    packets: int
    rows: int = 1

    @property
    def overhead(self) -> float:
        """Repair packets for each media packet."""
        return 1.0 / self.packets


def protection(
    loss: float, burst: float, rtt: float, delay: float, share: float
) -> Protection | None:
    """What a link needs, None when resends do.

    loss: 0 to 1. burst: packets that are lost in a row, on average. rtt, delay (of playing):
    seconds. share: of the video's bitrate that may go into repair packets, 0 to 1.
    """
    if loss < LEAST_LOSS or share <= 0.0:
        return None
    remaining = min(loss, 0.99) ** (1 + playout.rounds(delay, rtt))
    if remaining <= TARGET:
        return None
    # With one repair for k packets, a lost one stays lost when another of the k+1 is lost too.
    afforded = math.ceil(1.0 / share)
    packets = max(LEAST_PACKETS, min(MOST_PACKETS, int(TARGET / (remaining * loss))), afforded)
    if packets > MOST_PACKETS:
        return None
    rows = max(1, min(MOST_ROWS, round(burst), SPAN // packets))
    return Protection(packets, rows)


def pack_mask(bits: int) -> bytes:
    """The mask field with its K bits (§4.2.2.1). bits: bit n is set for the packet `base` + n."""
    if bits >> _MASK_BITS[1]:
        raise ValueError("a mask covers 46 packets at most")
    first = sum(1 << 14 - n for n in range(15) if bits >> n & 1)
    if not bits >> 15:
        return (0x8000 | first).to_bytes(2, "big")
    second = sum(1 << 30 - n for n in range(31) if bits >> 15 + n & 1)
    return first.to_bytes(2, "big") + (0x80000000 | second).to_bytes(4, "big")


class _Row:
    """One repair packet in the making: the exclusive or so far."""

    __slots__ = ("bits", "count", "head", "payload", "size")

    def __init__(self) -> None:
        self.bits = self.count = self.head = self.payload = self.size = 0


class FecEncoder:
    """Repair packets of one SSRC to one viewer.

    Give every packet to `push` as it is sent; what it returns is sent then, too. One lives as
    long as the viewer's slot: its numbers go on, whatever the protection.
    """

    __slots__ = (
        "_base",
        "_began",
        "_block",
        "_count",
        "_media_ssrc",
        "_payload_type",
        "_protection",
        "_rows",
        "_sequence",
        "_ssrc",
        "twcc_offset",
        "window",
    )

    def __init__(
        self, payload_type: int, ssrc: int, media_ssrc: int, twcc: int, window: float = 0.25
    ) -> None:
        """twcc: identifier of the transport-wide number, 0 for none.

        window: seconds after which a block ends with its frame, so that repairs are not late.
        """
        self.window = window
        self._payload_type = payload_type
        self._ssrc = ssrc
        self._media_ssrc = media_ssrc
        self._block = rtp.build_extension_block([(twcc, b"\0\0")] if twcc else [])
        head = 1 if self._block[:2] == b"\xbe\xde" else 2
        self.twcc_offset = rtp.HEADER_SIZE + 4 + head if twcc else 0
        """Where the transport-wide number of each repair packet is to be written; 0: nowhere."""
        self._sequence = 0
        self._protection: Protection | None = None
        self._rows: list[_Row] = []
        self._base = self._count = 0
        self._began = 0.0

    def protect(self, wanted: Protection | None) -> None:
        """How much from the next block on; None for nothing."""
        if self._protection is None:
            # A block that was open when it ended is long over.
            self._rows, self._count = [], 0
        self._protection = wanted

    def push(self, packet: bytes | bytearray, twcc_offset: int, now: float) -> list[bytearray]:
        """One complete media packet, its numbers written; the repair packets that are due.

        twcc_offset: where its transport-wide number stands, 0 for nowhere.
        """
        made: list[bytearray] = []
        (number,) = _NUMBER.unpack_from(packet, 2)
        position = (number - self._base) & 0xFFFF
        if self._count and position >= SPAN:
            if position >= 0x8000:
                return made  # a late one: its block began after it, or is closed
            made += self.flush()
        if not self._count:
            if self._protection is None:
                return made
            self._base, self._began, position = number, now, 0
            self._rows = [_Row() for _ in range(self._protection.rows)]
        row = self._rows[self._count % len(self._rows)]
        if any(one.bits >> position & 1 for one in self._rows):
            return made  # sent again under its own number
        self._count += 1
        _add(row, packet, position, twcc_offset)
        wanted = self._protection
        ended = bool(packet[1] & 0x80)
        if wanted is None or (
            self._count >= wanted.packets * len(self._rows)
            or (ended and now - self._began >= self.window)
        ):
            made += self.flush()
        return made

    def flush(self) -> list[bytearray]:
        """The repair packets of what was pushed since the last ones."""
        made = [self._build(row) for row in self._rows if row.count]
        self._rows = []
        self._count = 0
        return made

    def _build(self, row: _Row) -> bytearray:
        number, self._sequence = self._sequence, (self._sequence + 1) & 0xFFFF
        # The draft wants a clock of the repair stream's own; receivers look at none, and the
        # exclusive or of the protected timestamps is as good as any.
        head = _HEAD.pack(row.head & ~_FLAGS, 1, self._media_ssrc, self._base)
        payload = head + pack_mask(row.bits) + row.payload.to_bytes(row.size, "little")
        return bytearray(
            rtp.build(self._payload_type, False, number, row.head, self._ssrc, self._block, payload)
        )


def _add(row: _Row, packet: bytes | bytearray, position: int, twcc_offset: int) -> None:
    data = packet
    if twcc_offset:
        data = bytearray(packet)
        data[twcc_offset : twcc_offset + 2] = b"\0\0"
    size = len(data) - rtp.HEADER_SIZE
    # Bytes 0, 1 (flags, type), the length in the place of the number, the timestamp (§4.2.2).
    head = data[0] << 56 | data[1] << 48 | size << 32 | int.from_bytes(data[4:8], "big")
    row.head ^= head
    # Little endian aligns packets of different lengths at their first byte.
    row.payload ^= int.from_bytes(data[rtp.HEADER_SIZE :], "little")
    row.bits |= 1 << position
    row.count += 1
    row.size = max(row.size, size)
