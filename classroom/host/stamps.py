"""When each packet of a source is shown: by its own stamp, or counted where it has none.

Lives here: `Stamps`, for one passage through a container. Must not live here: reading packets
(`reader`), what becomes of them (`lanes`). Bare H.264 has no stamps at all, and AVI may have only
those of decoding.
"""

from __future__ import annotations

from typing import Final, TypeVar

import av
from av.stream import Stream
from av.video.stream import VideoStream

StreamT = TypeVar("StreamT", bound=Stream)

RATE_UNKNOWN: Final = 25.0  # pictures a second, as ffmpeg takes it where a stream says nothing


class Stamps:
    """Times of the packets of one container, s from its first. end: of the last packet so far."""

    def __init__(self) -> None:
        self.end = 0.0
        self._zero: float | None = None
        self._next: dict[int, float] = {}

    def place(self, packet: av.Packet[StreamT]) -> float:
        """When `packet`, the next of the container, is shown; an empty one at the end."""
        if not packet.size:
            return self.end
        index = packet.stream.index
        stamp = packet.dts if packet.pts is None else packet.pts
        if stamp is None:
            time = self._next.get(index, self.end)
        else:
            raw = float(stamp * packet.time_base)
            if self._zero is None:
                self._zero = raw
            time = raw - self._zero
        self._next[index] = time + _length(packet)
        self.end = max(self.end, self._next[index])
        return time


def _length(packet: av.Packet[StreamT]) -> float:
    """How long `packet` lasts, s; by the rate of its stream where it does not say."""
    if packet.duration:
        return float(packet.duration * packet.time_base)
    if isinstance(packet.stream, VideoStream):
        return 1.0 / float(packet.stream.guessed_rate or RATE_UNKNOWN)
    return 0.0
