"""Frames of one rendition to fragments and segments. PURE.

Here: where segments and fragments are cut, durations, running digests. Not here: what media time a
frame has (`voice`, `lesson`), files. Times are ticks since the lesson's epoch.

A segment begins with the first key frame of a beat (voice: with the first packet), and wherever
the initialisation segment or the publisher changes or a hole ends. Inside a segment a fragment
holds the frames of one second of media time on the lesson's grid. So the cuts, and every byte,
follow from the frames alone. A rendition that rests for longer than a beat goes on with a key
frame, so its segment may be closed as soon as the lesson has gone on without it for so long.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from classroom.archive import canonical
from classroom.archive.journal import Gap, Init, Opened, Place, Segment
from classroom.archive.names import is_voice, segment_name, timescale
from relay.record.actions import Action, Append, Close, Log, WriteInit
from relay.record.cmaf import STYP, Sample, fragment, init_segment
from relay.record.cmaf_read import scan
from relay.record.sample_entries import SampleEntry
from relay.record.told import InitName

LOSS: Final = "loss"
AWAY: Final = "away"
FRAGMENT_SECONDS: Final = 1
IDLE_SECONDS: Final = 4
"""A picture that nothing follows for so long lasts no longer than an ordinary one: the layer was
switched off. Browsers repeat a still picture every second, so a still one is not cut short."""
_VOICE_RESTS: Final = 12
"""s. Shorter pauses of a voice are filled (`voice`); up to where, is known only when they end."""
VOICE_FOLD: Final = 120
"""Ticks of the shortest Opus packet. A hole that is shorter cannot be filled: the packet before it
lasts for so much longer."""
_FIRST_DURATION: Final = 1 / 30  # s, for a frame that nothing follows and nothing preceded
_HOLE_SECONDS: Final = 0.05  # shorter holes are the jitter of clocks, not worth a line


@dataclass(slots=True)
class Piece:
    """A frame placed in media time. duration: None for video, which lasts until the next one.

    entry: the configuration, on key frames. first_feed: lowest feed sequence it came from.
    place_of: (track, RTP sequence, RTP timestamp) that a restart goes on after. reason: why what
    is missing before it is missing.
    """

    time: int
    duration: int | None
    key: bool
    data: bytes
    entry: SampleEntry | None
    take: int
    first_feed: int
    place_of: tuple[int, int, int]
    reason: str = AWAY


class RenditionWriter:
    """Give it pieces in order of time; it appends to `out` what is to be written."""

    def __init__(self, name: str, beat_ms: int, out: list[Action], own: int = 0) -> None:
        """own: the least number of initialisation files that are not `told`."""
        self.name = name
        self.out = out
        self.place: Place | None = None
        """Of the last frame handed to `out`."""
        self.end = 0
        """Ticks at which what was handed to `out` ends."""
        self.newest = -1
        """Ticks at which the last frame begins, or a little later."""
        self.restored_take: int | None = None
        """The take of what a restart found last."""
        self._ticks = timescale(name)
        self._beat = beat_ms * self._ticks // 1000
        shortest = _VOICE_RESTS if is_voice(name) else IDLE_SECONDS
        self._rest = max(self._beat, shortest * self._ticks)
        self._pending: list[Piece] = []
        self._inits: dict[int, str] = {}
        """Number to digest, of those that are written."""
        self._told: dict[str, int] = {}
        self._digested: tuple[SampleEntry | None, str] = (None, "")
        self._init = -1
        self._next_init = own
        self._opened: Opened | None = None
        self._last = (-1, 0)
        self._fragments = self._frames = self._size = self._start = 0
        self._hash = hashlib.sha256()
        self._duration = round(_FIRST_DURATION * self._ticks)

    def restore(self, inits: list[Init], segments: list[Segment], opened: Opened | None) -> None:
        """What the journal says of this rendition. `resume` follows when a segment is open."""
        for init in inits:
            self._inits[init.number] = init.digest
            self._next_init = max(self._next_init, init.number + 1)
        begun: list[Segment | Opened] = [*segments]
        if opened is not None:
            begun.append(opened)
        for known in begun:
            self._last = max(self._last, (known.beat, known.part))
            self._init = known.init
            self.restored_take = known.take
        if segments:
            self.end = segments[-1].start + segments[-1].duration
            self.newest = self.end - 1

    def resume(self, opened: Opened, data: bytes) -> None:
        """Go on with a growing segment whose whole fragments are `data`."""
        found = scan(data)
        self._opened = opened
        self._fragments, self._frames, self._size = found.fragments, len(found.samples), len(data)
        self._start, self.end = found.start, found.end
        self._hash.update(data)
        last = found.samples[-1]
        self._duration, self.newest = last.duration, last.start

    def tell(self, inits: Iterable[InitName]) -> None:
        """How the relay above numbers its initialisation files."""
        self._told = {init.digest: init.number for init in inits if init.rendition == self.name}

    @property
    def inits(self) -> list[InitName]:
        """Those written, in order of number."""
        return [InitName(self.name, number, self._inits[number]) for number in sorted(self._inits)]

    @property
    def latest(self) -> int:
        """Ticks at which the newest frame begins, or where what is written ends."""
        return self._pending[-1].time if self._pending else self.end

    @property
    def has_media(self) -> bool:
        """Whether this rendition ever began a segment."""
        return self._last[0] >= 0

    def first_feed(self) -> int | None:
        """The lowest feed sequence among frames not handed to `out` yet."""
        return min((piece.first_feed for piece in self._pending), default=None)

    def add(self, piece: Piece) -> None:
        """The next frame. Its time is moved forward to where the one before it must have ended.
        After a long rest what is no key frame is left out: no segment can begin with it."""
        if not piece.key and (
            self._opened is None or piece.time - self._pending_end() > self._rest
        ):
            self.finish()
            return
        before = self.latest
        self.newest = piece.time
        if self._pending:
            last = self._pending[-1]
            piece.time = max(piece.time, last.time + 1, self.end)
            lasts = piece.time - last.time
            if last.duration is None:
                if lasts <= IDLE_SECONDS * self._ticks:
                    last.duration = lasts
            elif lasts < last.duration + VOICE_FOLD:
                # Some senders' timestamps jitter by a tick: what overlaps counts as torn.
                last.duration = lasts
        else:
            piece.time = max(piece.time, self.end)
        if self._pending and (self._cuts(piece) or self._fragment_ends(piece)):
            self._flush()
        if self._opened is not None and not self._pending and self._cuts(piece):
            self._close()
        if self._opened is None or piece.entry is not None:
            self._configure(piece)
        hole = piece.time - self._pending_end()
        if piece.reason == LOSS and self.has_media:
            self.out.append(Log(Gap(self.name, before, piece.time, LOSS)))
        elif self.has_media and hole > _HOLE_SECONDS * self._ticks:
            self.out.append(Log(Gap(self.name, piece.time - hole, piece.time, piece.reason)))
        if self._opened is None:
            self._open(piece)
        self._pending.append(piece)

    def rests(self, seconds: float) -> bool:
        """Whether a segment is open that gets nothing more, for the lesson has come to `seconds` of
        media time."""
        opened = self._opened is not None
        return opened and seconds * self._ticks - self._pending_end() > self._rest

    def flush(self) -> None:
        """Hand out what is held: no frame came for long. The segment stays open."""
        if self._pending:
            self._flush()

    def finish(self) -> None:
        """Hand out what is held and close the segment: the track or the lesson has ended, or the
        rendition rests."""
        self.flush()
        self._close()

    def _pending_end(self) -> int:
        if not self._pending:
            return self.end
        last = self._pending[-1]
        unknown = min(self._duration, self._ticks)  # as `_flush` has it
        return last.time + (unknown if last.duration is None else last.duration)

    def _cuts(self, piece: Piece) -> bool:
        opened = self._opened
        if opened is None:
            return False
        if not piece.key:
            return False
        if piece.time // self._beat > opened.beat or piece.take != opened.take:
            return True
        if piece.entry is not None and self._digest(piece.entry) != self._inits[opened.init]:
            return True
        return piece.time - self._pending_end() > _HOLE_SECONDS * self._ticks

    def _fragment_ends(self, piece: Piece) -> bool:
        grid = FRAGMENT_SECONDS * self._ticks
        return piece.time // grid != self._pending[0].time // grid

    def _digest(self, entry: SampleEntry) -> str:
        """Of the initialisation file for `entry`; every packet of a voice asks for the same one."""
        if entry is not self._digested[0]:
            self._digested = (entry, canonical.digest(init_segment(entry, self._ticks)))
        return self._digested[1]

    def _number(self, digest: str) -> int:
        """Of the initialisation file with `digest`, written or to be written."""
        told = self._told.get(digest)
        if told is not None and self._inits.get(told, digest) == digest:
            return told
        for number, known in self._inits.items():
            if known == digest:
                return number
        self._next_init += 1
        return self._next_init - 1

    def _configure(self, piece: Piece) -> None:
        entry = piece.entry
        if entry is None:
            return
        digest = self._digest(entry)
        number = self._number(digest)
        if number not in self._inits:
            data = init_segment(entry, self._ticks)
            self._inits[number] = digest
            init = Init(
                self.name,
                number,
                entry.codec,
                entry.width,
                entry.height,
                entry.channels,
                len(data),
                digest,
                entry.source,
            )
            self.out.append(WriteInit(init, data))
        self._init = number

    def _open(self, piece: Piece) -> None:
        beat = piece.time // self._beat
        last_beat, last_part = self._last
        if beat <= last_beat:
            beat, part = last_beat, last_part + 1
        else:
            part = 0
        self._last = (beat, part)
        self._opened = Opened(self.name, beat, part, self._init, piece.take)
        self.out.append(Log(self._opened))
        self._fragments = self._frames = self._size = 0
        self._start = piece.time
        self._hash = hashlib.sha256()

    def _flush(self) -> None:
        opened = self._opened
        assert opened is not None, "a pending frame has an open segment"
        samples: list[Sample] = []
        for piece in self._pending:
            if piece.duration is None:
                piece.duration = min(self._duration, self._ticks)
            self._duration = piece.duration
            samples.append(Sample(piece.duration, piece.key, piece.data))
        self._fragments += 1
        data = fragment(self._fragments, self._pending[0].time, samples)
        if self._fragments == 1:
            data = STYP + data
        self._hash.update(data)
        self._size += len(data)
        self._frames += len(samples)
        last = self._pending[-1]
        self.end = last.time + self._duration
        self.place = Place(self.end, *last.place_of)
        self._pending.clear()
        self.out.append(Append(self.name, segment_name(opened.beat, opened.part), data))

    def _close(self) -> None:
        opened = self._opened
        if opened is None:
            return
        self._opened = None
        self.out.append(
            Close(
                Segment(
                    self.name,
                    opened.beat,
                    opened.part,
                    opened.init,
                    opened.take,
                    self._start,
                    self.end - self._start,
                    self._frames,
                    self._size,
                    self._hash.hexdigest(),
                )
            )
        )
