"""What a relay's archive lacks of the root's, and what it received: for judging identical archives.

Here: which segments of the root consist of frames that all arrived below, as the feeds of both
relays tell; which of them have the same bytes there; fetching the rest by hand.
Not here: how frames travelled.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from classroom.archive.contents import Contents, Header, read_journal
from classroom.archive.manifest import Manifest, build
from classroom.archive.names import (
    HEADER,
    JOURNAL,
    is_voice,
    rendition_name,
    segment_name,
    timescale,
)
from relay.cache.cache import Cache
from relay.record.feed import Sync, Track
from relay.record.pipeline import TrackClock
from tests.fakes.trunk_story import LESSON, Frame, Relay


@dataclass(frozen=True, slots=True)
class Account:
    """Names of the root's segments with their bytes. whole: all of whose frames arrived. cut_off:
    those after whose last picture the next one is missing, so that nothing says how long it was
    shown. same: those that are the same at the school, under the same name. segments: all."""

    segments: dict[str, int]
    whole: frozenset[str]
    cut_off: frozenset[str]
    same: frozenset[str]

    @property
    def different(self) -> list[str]:
        """What arrived whole, its end included, and is not the same."""
        return sorted(self.whole - self.cut_off - self.same)

    @property
    def lost_bytes(self) -> int:
        """Of segments that did not arrive whole."""
        return sum(size for name, size in self.segments.items() if name not in self.whole)


def account(root: Relay, school: Relay) -> Account:
    """Of two archives after the lesson."""
    manifest = manifest_of(root.archives)
    times = _frame_times(root, manifest)
    segments: dict[str, int] = {}
    whole: set[str] = set()
    cut_off: set[str] = set()
    same: set[str] = set()
    for rendition in manifest.renditions:
        frames = sorted((time, frame) for frame, time in times[rendition.name].items())
        missing = [time for time, frame in frames if not _arrived(root, school, frame)]
        for segment in rendition.segments:
            name = f"{rendition.name}/{segment_name(segment.beat, segment.part)}"
            segments[name] = segment.bytes
            end = segment.start + segment.duration
            if bisect_left(missing, segment.start) == bisect_left(missing, end):
                whole.add(name)
            after = frames[bisect_left(frames, (end - 1, ("", 0))) :][:1]
            if after and after[0][0] in missing and not is_voice(rendition.name):
                cut_off.add(name)
            path = school.archives / LESSON / name
            if path.exists() and path.read_bytes() == (root.archives / LESSON / name).read_bytes():
                same.add(name)
    return Account(segments, frozenset(whole), frozenset(cut_off), frozenset(same))


def _arrived(root: Relay, school: Relay, frame: Frame) -> bool:
    return root.feed.frames[frame] <= school.feed.frames.get(frame, set())


def manifest_of(archives: Path) -> Manifest:
    """What an archive consists of by its journal."""
    directory = archives / LESSON
    header = Header.decode((directory / HEADER).read_bytes())
    return build(header, contents_of(archives))


def contents_of(archives: Path) -> Contents:
    return read_journal((archives / LESSON / JOURNAL).read_bytes()).contents


def _frame_times(root: Relay, manifest: Manifest) -> dict[str, dict[tuple[str, int], int]]:
    """Rendition → frame → media time, worked out anew from what the root's feed said."""
    clocks: dict[int, TrackClock] = {}
    tracks: dict[int, Track] = {}
    for record in root.told:
        if isinstance(record, Track):
            tracks[record.track] = record
            clocks[record.track] = TrackClock(record.clock_rate)
        elif isinstance(record, Sync):
            clocks[record.track].anchor(record.rtp_timestamp, record.wall, record.since)
    times: dict[str, dict[tuple[str, int], int]] = defaultdict(dict)
    for source, number, stamp in root.feed.order:
        track = tracks[number]
        name = rendition_name(track.source, track.rid)
        seconds = clocks[number].wall(stamp) - manifest.epoch_ms / 1000
        times[name].setdefault((source, stamp), round(seconds * timescale(name)))
    return times


def adopt(root: Path, archives: Path, state: Path) -> int:
    """Bring what is missing from the root's directory; gives its bytes."""
    cache = Cache(archives, state, root=False)
    cache.begin(LESSON, (root / "manifest.json").read_bytes())
    fetched = 0
    for part in cache.missing(LESSON):
        data = (root / part.rendition / part.name).read_bytes()
        cache.put(part, data)
        fetched += len(data)
    cache.finish(
        LESSON, (root / "journal.jsonl").read_bytes(), (root / "events.jsonl").read_bytes()
    )
    cache.close()
    return fetched


def files(archives: Path) -> dict[str, bytes]:
    """Everything in an archive."""
    root = archives / LESSON
    return {
        os.path.relpath(path, root): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }
