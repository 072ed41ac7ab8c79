"""What a VP9 picture refers to, as its descriptor says it, mended where it cannot be so.

In flexible mode each picture tells by P_DIFF how many picture ids lie between it and the one that
it was predicted from (RFC 9628 4.2). Chrome's encoder counts pictures that it dropped, its
packetizer does not: after a drop the difference is too large, and a base picture seems to refer to
one of an upper temporal layer, or from before the keyframe. Who receives all pictures does not
notice. A room that joined, or whose upper layers were left out, waits for that picture until the
next keyframe. Here: finding what cannot be so, and the picture that is meant. Not here: several
spatial layers or references, of which nothing is changed. Pure, one per layer.
"""

from __future__ import annotations

from typing import Final

from relay.media.frame_info import PacketInfo

# P_DIFF has 7 bits.
_MOST: Final = 127
_KEPT: Final = 2 * _MOST

_FLEXIBLE: Final = 0x90  # with a picture id
_PREDICTED: Final = 0x40
_LAYERED: Final = 0x20
_MORE: Final = 0x01


class References:
    """Give it each packet of a layer once, in any order."""

    __slots__ = ("_key", "_layers", "_meant")

    def __init__(self) -> None:
        self._key: int | None = None
        self._layers: dict[int, int] = {}
        """Picture id → temporal layer, of what came since the keyframe."""
        self._meant: dict[int, int] = {}
        """Picture id → P_DIFF, of pictures that told a wrong one."""

    def mend(self, data: bytes, start: int, info: PacketInfo) -> bytes:
        """`data`, or a copy with another P_DIFF. start: of the payload that `info` tells of."""
        picture, first = info.picture_id, data[start]
        if picture is None or info.spatial_id or first & _FLEXIBLE != _FLEXIBLE:
            return data
        if info.keyframe:
            self._key = picture
            self._layers = {picture: 0}
            self._meant = {}
        if not first & _PREDICTED or self._key is None:
            return data
        width = 2 if info.picture_id_bits == 15 else 1
        offset = start + info.picture_id_offset + width + bool(first & _LAYERED)
        if picture not in self._layers:
            self._layers[picture] = info.temporal_id
            if len(self._layers) > _KEPT:
                forgotten = next(iter(self._layers))
                del self._layers[forgotten]
                self._meant.pop(forgotten, None)
            if not data[offset] & _MORE:
                mask = (1 << info.picture_id_bits) - 1
                meant = self._find(picture, info.temporal_id, data[offset] >> 1, mask)
                if meant is not None:
                    self._meant[picture] = meant
        meant = self._meant.get(picture)
        if meant is None:
            return data
        return data[:offset] + bytes((meant << 1,)) + data[offset + 1 :]

    def _find(self, picture: int, temporal: int, told: int, mask: int) -> int | None:
        """The difference that is meant, None where the one told may be right or nothing is sure."""
        assert self._key is not None, "nothing is known before a keyframe"
        reference = picture - told & mask
        layer = self._layers.get(reference)
        if layer is not None and layer <= temporal:
            return None
        if layer is None and told <= (picture - self._key & mask):
            return None  # lost, or still to come
        for back in range(1, _MOST + 1):
            layer = self._layers.get(picture - back & mask)
            if layer is None:
                return None  # it may have been that one
            if layer < temporal or layer == temporal == 0:
                return back
        return None
