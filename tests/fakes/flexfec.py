"""A receiver's side of FlexFEC-03: lost media packets out of repair packets and the others.

Written from the draft and from what libwebrtc's receiver does, apart from the encoder that it
judges. Here: reading the header, solving for the one missing packet, over and over. Not here: SRTP,
jitter, judging.
"""

from __future__ import annotations

from dataclasses import dataclass

from relay.media import rtp

KEPT = 48
"""Repair packets that wait for what they protect, as in libwebrtc."""


@dataclass(frozen=True, slots=True)
class Repair:
    """A repair packet as read. numbers: of the media packets that it protects, 16 bits."""

    ssrc: int
    base: int
    numbers: tuple[int, ...]
    recovery: bytes
    payload: bytes


def read(packet: bytes) -> Repair:
    """Take a repair packet apart; an assertion fails for what libwebrtc would drop."""
    header = rtp.parse(packet)
    data = packet[header.payload_offset : header.payload_end]
    assert len(data) >= 20, "truncated"
    assert data[0] & 0xC0 == 0, "R or F is set"
    assert data[8:12] == b"\x01\0\0\0", "not one protected stream"
    base = int.from_bytes(data[16:18], "big")
    bits, at = "", 18
    for size in (2, 4, 8):
        word = f"{int.from_bytes(data[at : at + size], 'big'):0{8 * size}b}"
        bits, at = bits + word[1:], at + size
        if word[0] == "1":
            break
    else:
        raise AssertionError("no K bit is set")
    numbers = tuple((base + n) & 0xFFFF for n, bit in enumerate(bits) if bit == "1")
    assert numbers, "an empty mask"
    return Repair(int.from_bytes(data[12:16], "big"), base, numbers, data[:8], data[at:])


class FecReceiver:
    """media: by 16-bit number, what came or was recovered; recovered: numbers of the latter.

    twcc: identifier of the transport-wide number, which counts as zero.
    """

    def __init__(self, ssrc: int, twcc: int) -> None:
        self.media: dict[int, bytes] = {}
        self.recovered: list[int] = []
        self._ssrc = ssrc
        self._twcc = twcc
        self._repairs: list[Repair] = []
        self._told = 0

    def receive_media(self, packet: bytes) -> None:
        """A media packet that came."""
        self.media[int.from_bytes(packet[2:4], "big")] = without_transport(packet, self._twcc)
        self._solve()

    def receive_repair(self, packet: bytes) -> None:
        """A repair packet that came."""
        repair = read(packet)
        assert repair.ssrc == self._ssrc
        self._repairs.append(repair)
        del self._repairs[:-KEPT]
        self._solve()

    def take_recovered(self) -> list[int]:
        """Numbers recovered since the last call."""
        new, self._told = self.recovered[self._told :], len(self.recovered)
        return new

    def _solve(self) -> None:
        again = True
        while again:
            again = False
            for repair in list(self._repairs):
                missing = [one for one in repair.numbers if one not in self.media]
                if len(missing) > 1:
                    continue
                self._repairs.remove(repair)
                if missing:
                    self.media[missing[0]] = self._recover(repair, missing[0])
                    self.recovered.append(missing[0])
                    again = True

    def _recover(self, repair: Repair, number: int) -> bytes:
        recovery = bytearray(repair.recovery)
        payload = bytearray(max(2_048, len(repair.payload)))
        payload[: len(repair.payload)] = repair.payload
        for one in repair.numbers:
            if one == number:
                continue
            packet = self.media[one]
            size = len(packet) - 12
            fields = packet[:2] + size.to_bytes(2, "big") + packet[4:8]
            recovery = bytearray(a ^ b for a, b in zip(recovery, fields, strict=True))
            for index, byte in enumerate(packet[12:]):
                payload[index] ^= byte
        size = int.from_bytes(recovery[2:4], "big")
        head = bytes((recovery[0] & 0x3F | 0x80, recovery[1])) + number.to_bytes(2, "big")
        return head + recovery[4:8] + self._ssrc.to_bytes(4, "big") + bytes(payload[:size])


def without_transport(packet: bytes, identifier: int) -> bytes:
    """The packet with a transport-wide number of zero."""
    found = rtp.find_extension(packet, rtp.parse(packet), identifier) if identifier else None
    if found is None:
        return packet
    return packet[: found[0]] + b"\0\0" + packet[sum(found) :]
