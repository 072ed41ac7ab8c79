"""The newest keyframe of each picture of a lesson, out of the recorder's feed. PURE.

Here: packets to keyframes, and which of several layers is the one to make a still picture of. Not
here: decoding (`stills_worker`), who is sent what. Apart from the recording, so that stills go on
while a disk fails; a track that meets a bug here costs its own stills alone.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Final

from relay.media import rtp
from relay.record.assemble import Frame, VideoAssembler
from relay.record.feed import End, Hello, LessonEnd, Packet, Record, Sync, Track
from relay.record.pipeline import TrackClock
from relay.record.reorder import Item, Reorder

_log: Final = logging.getLogger("relay.recorder")

CODECS: Final = ("vp8", "vp9", "h264", "av1")
HOLD: Final = 1.0  # s that a lost packet is waited for: a still is late then, not missing
# Slides tell more than a face does when only one picture can be had.
ORDER: Final = ("screen", "camera")
WIDTH: Final = 640
"""Pixels. Narrower layers look coarse on a projector, wider ones take longer to decode."""
_MOST_TRACKS: Final = 64
# s between the keyframes of a lesson's layers, at most: they come with one beat.
_SAME_BEAT: Final = 4.0


@dataclass(frozen=True, slots=True)
class Keyframe:
    """A picture that a decoder can begin with.

    number: rises with each keyframe. config: parameter sets of H.264 (avcC), else empty.
    captured: Unix seconds. width: pixels, 0 when unknown.
    """

    number: int
    lesson: str
    source: str
    codec: str
    config: bytes
    data: bytes
    captured: float
    width: int


class Keyframes:
    """Give it every record of the feed; ask it for the newest keyframe."""

    def __init__(self) -> None:
        self.came: Callable[[], None] = lambda: None
        """Called at each new keyframe of any lesson."""
        self._tracks: dict[int, _Track] = {}
        self._feed = ""
        self._number = 0
        self.faults = 0
        """Tracks that met a bug."""

    def receive(self, record: Record, now: float | None = None) -> None:
        """Take the next record; those that come again after a new connection do no harm. now: Unix
        seconds here; media from a relay above is timed by the clock there."""
        match record:
            case Packet():
                track = self._tracks.get(record.track)
                if track is not None:
                    later = 0.0
                    if now is not None and track.track.origin:
                        later = now - record.arrival
                    self._packet(track, record, later)
            case Sync():
                track = self._tracks.get(record.track)
                if track is not None:
                    track.clock.anchor(record.rtp_timestamp, record.wall, record.since)
            case Track():
                known = self._tracks.get(record.track)
                is_new = known is None or known.track != record
                if record.codec in CODECS and is_new and len(self._tracks) < _MOST_TRACKS:
                    self._tracks[record.track] = _Track(record)
            case End():
                self._tracks.pop(record.track, None)
            case LessonEnd():
                for number, track in list(self._tracks.items()):
                    if track.track.lesson == record.lesson:
                        del self._tracks[number]
            case Hello():
                if record.feed != self._feed:
                    self._feed = record.feed
                    self._tracks.clear()

    def _packet(self, track: _Track, record: Packet, later: float) -> None:
        try:
            for frame in track.receive(record):
                if frame.joined.key:
                    self._number += 1
                    track.newest = _keyframe(self._number, track, frame, later)
                    self.came()
        except Exception as error:
            # Media that no test thought of must not end the recording of every lesson.
            _log.error("stills-track-dropped", extra={"track": record.track}, exc_info=error)
            self.faults += 1
            del self._tracks[record.track]

    def newest(self, lesson: str, sources: Collection[str]) -> Keyframe | None:
        """The newest keyframe of the lesson, of what is sent now (`sources`), slides first."""
        for source in ORDER:
            if source not in sources:
                continue
            found = [
                track.newest
                for track in self._tracks.values()
                if track.newest is not None
                and (track.track.lesson, track.track.source) == (lesson, source)
            ]
            if found:
                latest = max(frame.captured for frame in found)
                fresh = [frame for frame in found if frame.captured > latest - _SAME_BEAT]
                return min(fresh, key=_fitness)
        return None


class _Track:
    """One video track: packets to frames."""

    def __init__(self, track: Track) -> None:
        self.track = track
        self.clock = TrackClock(track.clock_rate)
        self.newest: Keyframe | None = None
        self._reorder = Reorder(HOLD)
        self._assembler = VideoAssembler(track, resumed=False)

    def receive(self, packet: Packet) -> Iterator[Frame]:
        try:
            header = rtp.parse(packet.packet)
        except rtp.RtpError:
            return
        if not self.clock.is_tied:
            return
        self._reorder.push(Item(0, packet.arrival, packet.packet, header))
        yield from self._assembler.receive(self._reorder.take(packet.arrival))


def _fitness(frame: Keyframe) -> tuple[bool, int]:
    """Least for the layer that suits best: the narrowest that is wide enough, else the widest."""
    narrow = frame.width < WIDTH
    return (narrow, -frame.width if narrow else frame.width)


def _keyframe(number: int, of: _Track, frame: Frame, later: float) -> Keyframe:
    """later: seconds by which the clock here is ahead of the one that timed it."""
    track, captured = of.track, of.clock.wall(frame.timestamp) + later
    entry, data = frame.joined.entry, frame.joined.data
    if entry is not None:
        width = entry.width
        config = _avcc(entry.box) if track.codec == "h264" else b""
    else:
        # A VP8 keyframe's size stands after its start code (RFC 6386 9.1).
        width = struct.unpack_from("<H", data, 6)[0] & 0x3FFF if len(data) >= 10 else 0
        config = b""
    return Keyframe(number, track.lesson, track.source, track.codec, config, data, captured, width)


def _avcc(box: bytes) -> bytes:
    """The decoder configuration inside an `avc1` sample entry (ISO/IEC 14496-15)."""
    at = box.find(b"avcC")
    if at < 4:
        return b""
    (size,) = struct.unpack_from("!I", box, at - 4)
    return box[at + 4 : at - 4 + size]
