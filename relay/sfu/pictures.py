"""The cached group of pictures of one layer: everything since its last keyframe.

A viewer that joins or lost its picture is answered from here, so that the teacher is never asked
for a keyframe on its account (a keyframe is a cost shared by all). Bounded in bytes: a group that
outgrows the bound is dropped, and the next keyframe begins a new one. Packets are held by
reference, in order of their sequence. Pure.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from relay.sfu.packet import Outgoing, Received

if TYPE_CHECKING:
    from relay.sfu.group import Profile

# Twice a beat of 8 s at 1.2 Mbit/s, so that a late keyframe does not empty it.
MAX_BYTES: Final = 2_500_000
# Of so many profiles packets are kept as they are sent: nearly all who join together have one.
_PROFILES: Final = 2


class GroupOfPictures:
    """Add every packet of the layer; ask for the frames that a newcomer must decode."""

    __slots__ = ("_bytes", "_frame", "_frames", "_packets", "_read", "_shared", "_weight")

    def __init__(self) -> None:
        self._packets: list[Received] = []
        self._bytes = 0
        self._frames: list[list[Received]] = []
        self._frame: list[Received] = []
        self._read = 0
        """Packets that `_frames` and `_frame` tell of; no number is missing among them."""
        self._weight = 0
        self._shared: dict[Profile, dict[int, Outgoing]] = {}

    @property
    def first(self) -> Received | None:
        """The keyframe's first packet; None while there is no group."""
        return self._packets[0] if self._packets else None

    @property
    def packets(self) -> Sequence[Received]:
        """All of the group, in order of their sequence; do not change."""
        return self._packets

    def begin(self, packet: Received) -> None:
        """`packet` is the first one of a keyframe: forget what came before it."""
        kept = [one for one in self._packets if one.sequence > packet.sequence]
        self._packets = [packet, *kept]
        self._bytes = sum(len(one.data) for one in self._packets)
        self._forget_frames()

    def add(self, packet: Received) -> None:
        """One later packet of the layer; out of order is fine."""
        packets = self._packets
        if not packets or packet.sequence < packets[0].sequence:
            return
        if packet.sequence > packets[-1].sequence:
            packets.append(packet)
        else:
            index = bisect_left(packets, packet.sequence, key=_sequence)
            if packets[index].sequence == packet.sequence:
                return
            packets.insert(index, packet)
        self._bytes += len(packet.data)
        if self._bytes > MAX_BYTES:
            self.clear()

    def clear(self) -> None:
        """There is no decodable group now."""
        self._packets = []
        self._bytes = 0
        self._forget_frames()

    def _forget_frames(self) -> None:
        self._frames, self._frame = [], []
        self._read = self._weight = 0
        self._shared = {}

    def base_frames(self) -> list[list[Received]]:
        """Complete frames of the lowest temporal layer, from the keyframe on, oldest first.

        Ends before the first lost or unfinished base frame. An empty list means that there is
        nothing to decode. It grows with the next packets: do not change or keep it.
        """
        # Rooms ask for it all the time, so what was read once is not read again.
        packets, frame = self._packets, self._frame
        while self._read < len(packets):
            packet = packets[self._read]
            if packet.sequence - packets[0].sequence != self._read:
                # What was lost may belong to the base layer: nothing after it is safe.
                break
            self._read += 1
            if packet.payload_end == packet.payload_offset:
                continue  # the publisher's padding
            if frame and packet.timestamp != frame[0].timestamp:
                frame = []
            frame.append(packet)
            if packet.marker:
                if frame[0].info.temporal_id == 0:
                    self._frames.append(frame)
                    self._weight += sum(len(one.data) for one in frame)
                frame = []
        self._frame = frame
        return self._frames

    @property
    def weight(self) -> int:
        """Bytes of `base_frames`."""
        self.base_frames()
        return self._weight

    def shared(self, profile: Profile) -> dict[int, Outgoing]:
        """What all newcomers of a profile are sent, by sequence; filled by whoever sends it."""
        found = self._shared.get(profile)
        if found is None:
            if len(self._shared) >= _PROFILES:
                self._shared.clear()
            found = self._shared[profile] = {}
        return found

    def is_whole(self) -> bool:
        """Whether a keyframe is here and nothing after it is missing."""
        packets = self._packets
        return bool(packets) and packets[-1].sequence - packets[0].sequence == len(packets) - 1

    def __len__(self) -> int:
        return len(self._packets)


def _sequence(packet: Received) -> int:
    return packet.sequence
