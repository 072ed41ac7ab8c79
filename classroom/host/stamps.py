"""When each packet of a source is shown: by its own stamp, or counted where it has none.

Lives here: `Stamps`, for one passage through a container. Must not live here: reading packets
(`reader`), what becomes of them (`lanes`). Bare H.264 has no stamps at all, and AVI may have only
those of decoding. The stamps of an encoder that was started again, or of files that were joined,
begin elsewhere at once; times go on from where they were, for all tracks alike, or the picture
would stand still until its old time comes again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import av
from av.stream import Stream
from av.video.stream import VideoStream

StreamT = TypeVar("StreamT", bound=Stream)

BACK_S: Final = 0.5  # a track's packets come in the order of decoding, but for a camera's jitter
ON_S: Final = 10.0  # a longer pause of all tracks is no pause; outlets take tracks so far apart
RATE_UNKNOWN: Final = 25.0  # pictures a second, as ffmpeg takes it where a stream says nothing


@dataclass(slots=True)
class _Track:
    """zero: the stamp that is time 0, s. last: when its newest packet is decoded. next: its end."""

    zero: float
    last: float
    next: float


class Stamps:
    """Times of the packets of one container, s from its first. end: of the last packet so far."""

    def __init__(self, jumped: Callable[[float], None]) -> None:
        """`jumped` is told by how much, s, when the stamps begin elsewhere."""
        self.end = 0.0
        self._jumped = jumped
        self._zero: float | None = None
        self._tracks: dict[int, _Track] = {}

    def place(self, packet: av.Packet[StreamT]) -> float:
        """When `packet`, the next of the container, is shown; an empty one at the end."""
        if not packet.size:
            return self.end
        track = self._tracks.get(packet.stream.index)
        shown = packet.dts if packet.pts is None else packet.pts
        decoded = packet.pts if packet.dts is None else packet.dts
        if shown is None or decoded is None:
            zero = self._zero or 0.0
            time = last = self.end if track is None else track.next
        else:
            time = float(shown * packet.time_base)
            last = float(decoded * packet.time_base)
            zero = self._zero_for(track, time, last)
            time -= zero
            last -= zero
        following = time + _length(packet)
        self._tracks[packet.stream.index] = _Track(zero, last, following)
        self.end = max(self.end, following)
        return time

    def _zero_for(self, track: _Track | None, shown: float, decoded: float) -> float:
        """The stamp that is time 0 for a packet of `track`, the first one if None."""
        if self._zero is None:
            self._zero = shown
        zero = self._zero
        if track is not None and track.zero != zero:
            # Another track jumped before; this one's packets of before may still be among the new.
            as_before = abs(decoded - track.zero - track.last)
            if as_before < abs(decoded - zero - track.last):
                zero = track.zero
        back = 0.0 if track is None else track.last - (decoded - zero)
        on = shown - zero - self.end
        if back > BACK_S or on > ON_S:
            self._jumped(on)
            self._zero = zero = shown - self.end
        return zero


def _length(packet: av.Packet[StreamT]) -> float:
    """How long `packet` lasts, s; by the rate of its stream where it does not say."""
    if packet.duration:
        return float(packet.duration * packet.time_base)
    if isinstance(packet.stream, VideoStream):
        return 1.0 / float(packet.stream.guessed_rate or RATE_UNKNOWN)
    return 0.0
