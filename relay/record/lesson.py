"""The recorder of one lesson: feed records in, actions for the store out. PURE.

Here: which tracks there are, the lesson's time base, what is written when a publisher or this
process comes back, and which feed records are still needed. Not here: files, sockets, processes.
Verbs: `receive`, `advance`, `take_actions`, `first_feed`; for VP8 `take_jobs`, `receive_coded`.

Media time 0 is the first anchor of the lesson. It never runs backwards: when a later publisher's
wall clock says it would (a relay without a battery for its clock), or jumps ahead by hours, that
take is shifted to where the lesson had ended.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from classroom.archive.contents import Contents, Header
from classroom.archive.events import Event
from classroom.archive.journal import Anchor, Mark, Note, Place, Take
from classroom.archive.names import rendition_name, timescale
from relay.record.actions import Action, Append, Finish, Log, LogEvent, WriteHeader
from relay.record.feed import End, Packet, Sync, Track
from relay.record.pipeline import Patience, Pipeline, VideoPipeline, VoicePipeline
from relay.record.rendition import RenditionWriter
from relay.record.told import OWN_NUMBERS, Told, tell
from relay.record.transcoded import Job, TranscodedPipeline

MAX_AWAY: Final = 6 * 3600.0
"""s. A lesson that goes on after a longer pause goes on without it: the clock was wrong."""

MAX_AHEAD: Final = 3600.0  # s; a picture is not captured an hour after it arrived

_PIPELINES: Final[dict[str, type[VoicePipeline] | type[VideoPipeline]]] = {
    "opus": VoicePipeline,
    "h264": VideoPipeline,
    "vp9": VideoPipeline,
    "av1": VideoPipeline,
    "vp8": TranscodedPipeline,
}


@dataclass(slots=True)
class Stored:
    """What is on disk of a lesson. growing: the whole fragments of each open segment. events: the
    event log."""

    header: Header
    contents: Contents
    growing: dict[str, bytes] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)


class LessonRecorder:
    """One lesson, from its first track to its end; made anew after a restart from `Stored`."""

    def __init__(
        self,
        lesson: str,
        *,
        beat_ms: int,
        hold: float,
        stored: Stored | None,
        resume: bool = True,
        lag: float = 0.0,
        below: bool = False,
    ) -> None:
        """beat_ms: for a new lesson. hold: seconds that a lost packet is waited for. resume: the
        feed goes on right after what is stored; False if records in between were dropped. lag:
        seconds that every packet waits. below: the media comes from a relay above, which tells how
        to record it (`follow`)."""
        self.lesson = lesson
        self._patience = Patience(hold, lag)
        self._below = below
        self._upstream: Told | None = None
        self._beat_ms = beat_ms if stored is None else stored.header.beat_ms
        self._header = None if stored is None else stored.header
        self._contents = Contents() if stored is None else stored.contents
        self._actions: list[Action] = []
        self._writers: dict[str, RenditionWriter] = {}
        self._mark = self._contents.mark if resume else None
        self._feed = ""
        self._seen: set[int] = set()
        """Tracks of this feed that a mark may name."""
        self._introduced: dict[int, Track] = {}
        self._pipelines: dict[int, Pipeline] = {}
        self._draining: list[TranscodedPipeline] = []
        self._now = 0.0
        self._told: set[bytes] = set()
        """Events on disk: records that come again after a restart tell them again."""
        self._announced = False
        """The event log begins as it should; a power cut may come between it and the header."""
        self._on: set[str] = set()
        """Sources whose last event says that they are on."""
        self._begun = False
        """A track began since the last time the lesson was finished."""
        if stored is not None:
            self._restore(stored)

    def _restore(self, stored: Stored) -> None:
        for name, rendition in stored.contents.renditions.items():
            writer = self._writer(name)
            writer.restore(rendition.inits, rendition.segments, rendition.opened)
            if rendition.opened is not None and name in stored.growing:
                writer.resume(rendition.opened, stored.growing[name])
        for event in stored.events:
            self._told.add(event.encode())
            self._announced |= event.kind == "recording"
            self._note_source(event)
        if self._mark is not None:
            self._feed = self._mark.feed
            for name, place in self._mark.places.items():
                self._writer(name).place = place
                self._seen.add(place.track)

    def follow(self, told: Told) -> None:
        """What the relay above says of its recording. Of a recording that began without it, media
        time stays as it is."""
        self._upstream = told
        if self._header is None:
            self._beat_ms = told.beat_ms
        for writer in self._writers.values():
            writer.tell(told.inits)

    def tell(self) -> Told | None:
        """What relays below have to know, None before the lesson began."""
        if self._below or self._header is None:
            return self._upstream
        inits = {writer.name: writer.inits for writer in self._writers.values()}
        return tell(self._header, self._contents.takes, inits)

    @property
    def seconds(self) -> float:
        """Media time up to which something was handed out for writing."""
        return max((w.end / timescale(w.name) for w in self._writers.values()), default=0.0)

    @property
    def _newest(self) -> float:
        """Seconds of media time where the newest frame is."""
        writers = self._writers.values()
        return max((w.latest / timescale(w.name) for w in writers), default=0.0)

    def receive(self, feed: str, sequence: int, record: Track | Packet | Sync | End) -> None:
        """A record about this lesson. feed: name of the media process's run."""
        match record:
            case Packet():
                self._now = max(self._now, record.arrival)
                pipeline = self._pipelines.get(record.track)
                if pipeline is not None:
                    pipeline.packet(sequence, record)
                    pipeline.advance(self._now)
            case Sync():
                self._sync(record)
            case Track():
                self._introduce(feed, record)
            case End():
                self._end(record.track, record.reason)

    def _introduce(self, feed: str, track: Track) -> None:
        if feed != self._feed:
            # The media process itself came back: nothing more comes of its earlier tracks.
            self.suspend("the media process came back")
            self._introduced.clear()
            self._seen.clear()
            self._feed = feed
        if track.track in self._pipelines:
            return
        self._introduced[track.track] = track
        if not self._is_recorded(track):
            self.note(f"a track of codec {track.codec} is not recorded")

    def _is_recorded(self, track: Track) -> bool:
        """What has to be transcoded is so at the root alone; those below fetch it."""
        return track.codec in _PIPELINES and not (self._below and track.codec == "vp8")

    def _sync(self, record: Sync) -> None:
        track = self._introduced.get(record.track)
        if track is None or not self._is_recorded(track):
            return
        if self._now and record.wall > self._now + MAX_AHEAD:
            self.note(f"an anchor {record.wall - self._now:.0f} s ahead of time is ignored")
            return
        pipeline = self._pipelines.get(record.track)
        if pipeline is None:
            pipeline = self._begin(track, record.wall)
        pipeline.anchor(record.rtp_timestamp, record.wall, record.since)
        anchor = Anchor(pipeline.writer.name, record.rtp_timestamp, round(record.wall * 1e6))
        self._actions.append(Log(anchor))

    def _begin(self, track: Track, wall: float) -> Pipeline:
        if self._header is None:
            epoch_ms = int(wall * 1000) if self._upstream is None else self._upstream.epoch_ms
            self._header = Header(self.lesson, epoch_ms, self._beat_ms)
            self._actions.append(WriteHeader(self._header))
        if not self._announced:
            self._announced = True
            self._event("recording", {}, 0.0)
        name = rendition_name(track.source, track.rid)
        for number, other in list(self._pipelines.items()):
            if other.writer.name == name:
                self._end(number, "another track took its place")
        self._drop_draining(name)
        take = self._take(track, wall)
        if track.source not in self._on:
            self._event("source", {"source": track.source, "on": True}, self._seconds(take, wall))
        kind = _PIPELINES[track.codec]
        resume = self._resume_place(track, name)
        writer = self._writer(name)
        pipeline = kind(track, writer, take.number, self._ticks(take, name), self._patience, resume)
        self._pipelines[track.track] = pipeline
        self._seen.add(track.track)
        self._begun = True
        return pipeline

    def _resume_place(self, track: Track, name: str) -> Place | None:
        mark = self._mark
        if mark is None or mark.feed != self._feed:
            return None
        place = mark.places.get(name)
        return place if place is not None and place.track == track.track else None

    def _take(self, track: Track, wall: float) -> Take:
        takes = self._contents.takes
        told = () if self._upstream is None else self._upstream.takes
        feed = track.origin or self._feed
        for take in (*told, *takes):
            if (take.feed, take.epoch) == (feed, track.epoch):
                if take not in takes:
                    takes.append(take)
                    self._actions.append(Log(take))
                return take
        shift_ms = takes[-1].shift_ms if takes else 0
        if not takes or takes[-1].feed != feed:
            assert self._header is not None, "the lesson has begun"
            now = wall - (self._header.epoch_ms - shift_ms) / 1000
            if not self.seconds <= now <= self.seconds + MAX_AWAY:
                shift_ms += round((self.seconds - now) * 1000)
        number = len(takes) + (OWN_NUMBERS if self._below else 0)
        take = Take(number, feed, track.epoch, shift_ms)
        takes.append(take)
        self._actions.append(Log(take))
        return take

    def _ticks(self, take: Take, name: str) -> Callable[[float], int]:
        rate = timescale(name)
        return lambda wall: round(self._seconds(take, wall) * rate)

    def _writer(self, name: str) -> RenditionWriter:
        writer = self._writers.get(name)
        if writer is None:
            own = OWN_NUMBERS if self._below else 0
            writer = RenditionWriter(name, self._beat_ms, self._actions, own)
            if self._upstream is not None:
                writer.tell(self._upstream.inits)
            self._writers[name] = writer
        return writer

    def _end(self, number: int, reason: str) -> None:
        self._introduced.pop(number, None)
        pipeline = self._pipelines.pop(number, None)
        if pipeline is None:
            return
        pipeline.finish()
        if isinstance(pipeline, TranscodedPipeline) and pipeline.outstanding:
            self._draining.append(pipeline)
        source = pipeline.track.source
        others = (other.track.source for other in self._pipelines.values())
        if source in self._on and source not in others:
            self._event("source", {"source": source, "on": False, "reason": reason})

    def drop_track(self, number: int) -> None:
        """Record no more of this track and need none of its records: it met a bug of ours."""
        self._introduced.pop(number, None)
        pipeline = self._pipelines.pop(number, None)
        if pipeline is not None:
            # Not `_end`: what the pipeline holds may be what it stumbled over.
            pipeline.writer.finish()
            self.note(f"the {pipeline.track.source} is recorded no further: an internal error")

    def _event(self, kind: str, body: dict[str, object], at: float | None = None) -> None:
        """at: seconds of media time; None: where the newest frame is."""
        if at is None:
            at = self._newest
        event = Event(max(0, round(at * 1000)), kind, body)
        self._note_source(event)
        if event.encode() not in self._told:
            self._actions.append(LogEvent(event))

    def _note_source(self, event: Event) -> None:
        source = event.body.get("source")
        if event.kind != "source" or not isinstance(source, str):
            return
        if event.body.get("on"):
            self._on.add(source)
        else:
            self._on.discard(source)

    def _seconds(self, take: Take, wall: float) -> float:
        """Media time of a wall time in `take`."""
        assert self._header is not None, "the lesson has begun"
        return wall - (self._header.epoch_ms - take.shift_ms) / 1000

    def note(self, text: str) -> None:
        """A line for whoever asks later."""
        self._actions.append(Log(Note(int(self._now * 1000), text)))

    def advance(self, now: float) -> None:
        """The feed's arrival time has come to `now`: give up old holes, hand out idle frames, close
        the segments of what rests."""
        self._now = max(self._now, now)
        for pipeline in self._pipelines.values():
            pipeline.advance(self._now)
        self._close_resting()

    def _close_resting(self) -> None:
        """A teacher may switch the camera off and leave its track on. A segment that stays open
        ends the playlist of those who watch the lesson late."""
        newest = self._newest
        for writer in self._writers.values():
            if writer.rests(newest) and self._is_idle(writer) and writer.rests(newest):
                writer.finish()

    def _is_idle(self, writer: RenditionWriter) -> bool:
        """Whether nothing is on its way to the writer; what was, may be there afterwards."""
        if any(one.writer is writer and one.outstanding for one in self._draining):
            return False
        using = [one for one in self._pipelines.values() if one.writer is writer]
        return all(one.rest(self._now) for one in using)

    @property
    def draining(self) -> bool:
        """Frames of ended tracks are still with the transcoder."""
        self._draining = [pipeline for pipeline in self._draining if pipeline.outstanding]
        return bool(self._draining)

    def _drop_draining(self, name: str | None = None) -> None:
        """Wait no longer for the frames of ended tracks, of one rendition or of all."""
        for pipeline in self._draining:
            if name in (None, pipeline.writer.name) and pipeline.outstanding:
                pipeline.lose("the transcoder was too late for the end of a track")
        self._draining = [pipeline for pipeline in self._draining if pipeline.outstanding]

    def suspend(self, reason: str) -> None:
        """Nothing more comes of any track: hand out and close what is held."""
        for number in list(self._pipelines):
            self._end(number, reason)

    def finish(self, at: float) -> None:
        """The lesson has ended; at: Unix seconds. A new track afterwards goes on with it."""
        self.suspend("the lesson ended")
        self._drop_draining()
        for writer in self._writers.values():
            writer.finish()
        if self._header is not None:
            if not self._contents.finished or self._begun:
                self._event("ended", {})
            self._contents.finished, self._begun = True, False
            self._actions.append(Finish(int(at * 1000)))

    def take_actions(self) -> list[Action]:
        """What to write now, as one commit."""
        actions = list(self._actions)
        self._actions.clear()
        if any(isinstance(action, Append) for action in actions):
            places = {
                name: writer.place
                for name, writer in self._writers.items()
                if writer.place is not None and writer.place.track in self._seen
            }
            actions.append(Log(Mark(self._feed, places)))
        return actions

    def first_feed(self) -> int | None:
        """The lowest feed sequence that is still needed, were this process to restart now. None:
        everything received is in the actions taken so far."""
        pipelines = (*self._pipelines.values(), *self._draining)
        needed = (pipeline.first_feed() for pipeline in pipelines)
        return min((feed for feed in needed if feed is not None), default=None)

    def take_jobs(self) -> list[tuple[TranscodedPipeline, Job]]:
        """VP8 frames to transcode, in order."""
        return [
            (pipeline, job)
            for pipeline in (*self._pipelines.values(), *self._draining)
            if isinstance(pipeline, TranscodedPipeline)
            for job in pipeline.take_jobs()
        ]
