"""The cached group of pictures of one layer: everything since its last keyframe.

A viewer that joins or lost its picture is answered from here, so that the teacher is never asked
for a keyframe on its account (a keyframe is a cost shared by all). Bounded in bytes: a group that
outgrows the bound is dropped, and the next keyframe begins a new one. Packets are held by
reference, in order of their sequence. Pure.
"""

from __future__ import annotations

from bisect import insort
from typing import Final

from relay.sfu.packet import Received

# Twice a beat of 8 s at 1.2 Mbit/s, so that a late keyframe does not empty it.
MAX_BYTES: Final = 2_500_000


class GroupOfPictures:
    """Add every packet of the layer; ask for the frames that a newcomer must decode."""

    __slots__ = ("_bytes", "_packets", "started_at")

    def __init__(self) -> None:
        self._packets: list[Received] = []
        self._bytes = 0
        self.started_at: float | None = None
        """Arrival of the keyframe's first packet, seconds; None while there is no group."""

    def begin(self, packet: Received) -> None:
        """`packet` is the first one of a keyframe: forget what came before."""
        self._packets = [packet]
        self._bytes = len(packet.data)
        self.started_at = packet.arrived

    def add(self, packet: Received) -> None:
        """One later packet of the layer; out of order is fine."""
        packets = self._packets
        if not packets or packet.sequence < packets[0].sequence:
            return
        if packet.sequence > packets[-1].sequence:
            packets.append(packet)
        else:
            insort(packets, packet, key=_sequence)
        self._bytes += len(packet.data)
        if self._bytes > MAX_BYTES:
            self.clear()

    def clear(self) -> None:
        """There is no decodable group now."""
        self._packets = []
        self._bytes = 0
        self.started_at = None

    def base_frames(self, after: int = -1) -> list[list[Received]]:
        """Complete frames of the lowest temporal layer, from the keyframe on, oldest first.

        after: leave out packets up to this sequence. Ends before the first lost or unfinished
        base frame. An empty list means that there is nothing to decode.
        """
        frames: list[list[Received]] = []
        frame: list[Received] = []
        expected = -1
        for packet in self._packets:
            if expected >= 0 and packet.sequence != expected:
                # What was lost may belong to the base layer: nothing after it is safe.
                break
            expected = packet.sequence + 1
            if frame and packet.timestamp != frame[0].timestamp:
                frame = []
            frame.append(packet)
            if packet.marker:
                if frame[0].info.temporal_id == 0 and frame[0].sequence > after:
                    frames.append(frame)
                frame = []
        return frames

    def is_whole(self) -> bool:
        """Whether a keyframe is here and nothing after it is missing."""
        packets = self._packets
        return bool(packets) and packets[-1].sequence - packets[0].sequence == len(packets) - 1

    def __len__(self) -> int:
        return len(self._packets)


def _sequence(packet: Received) -> int:
    return packet.sequence
