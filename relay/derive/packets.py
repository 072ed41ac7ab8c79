"""RTP packets of derived layers: Opus (RFC 7587) and VP8 with two temporal layers (RFC 7741). PURE.

Lives here: numbering and payload descriptors. Must not live here: encoders. A stream's SSRC is its
number in the relay; rooms see the SSRC of their slot.
"""

from __future__ import annotations

from typing import Final

from relay.media import rtp

MAX_PAYLOAD: Final = 1_100  # bytes, as browsers fill a packet: extensions and RED still fit 1,200
# Payload types as browsers have them; whoever receives goes by the record around the packet.
_VOICE: Final = 111
_PICTURE: Final = 96


class VoicePackets:
    """The packets of one voice."""

    def __init__(self, ssrc: int) -> None:
        self._ssrc = ssrc
        self._sequence = 0

    def packet(self, timestamp: int, data: bytes, *, begins: bool) -> bytes:
        """One Opus packet. begins: the first one after a pause (RFC 7587 §4.2)."""
        self._sequence += 1
        return rtp.build(_VOICE, begins, self._sequence, timestamp, self._ssrc, b"", data)


class PicturePackets:
    """Frames in, their packets out. Frames of temporal layer 1 refer to the last base frame only
    and nothing refers to them."""

    def __init__(self, ssrc: int) -> None:
        self._ssrc = ssrc
        self._sequence = 0
        self._picture = -1
        self._base = -1

    def frame(self, timestamp: int, data: bytes, temporal: int) -> list[bytes]:
        """The packets of one frame, of about equal size."""
        self._picture = (self._picture + 1) & 0x7FFF
        if temporal == 0:
            self._base = (self._base + 1) & 0xFF
        # X; then I, L and T; a picture id of 15 bits, TL0PICIDX, the layer, and whether a room may
        # begin this layer here: always (Y).
        first = 0x80 | (0x20 if temporal else 0)
        rest = bytes(
            (
                0xE0,
                0x80 | self._picture >> 8,
                self._picture & 0xFF,
                self._base & 0xFF,
                temporal << 6 | (0x20 if temporal else 0),
            )
        )
        count = -(-len(data) // MAX_PAYLOAD)
        size = -(-len(data) // count)
        packets = []
        for index in range(count):
            head = bytes((first | (0x10 if index == 0 else 0),)) + rest
            piece = data[index * size : (index + 1) * size]
            self._sequence += 1
            packets.append(
                rtp.build(
                    _PICTURE,
                    index == count - 1,
                    self._sequence,
                    timestamp,
                    self._ssrc,
                    b"",
                    head + piece,
                )
            )
        return packets
