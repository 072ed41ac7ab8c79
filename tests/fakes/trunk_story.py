"""A lesson at a root relay and at a school behind a weak link, both recording, in virtual time.

The routers, the trunk's choice of layers, repairs, feeds and recorders are the real ones, and so
are the files; encoders' pictures are real VP9 in a loop. Made up: clocks, the link, and the line on
which the relays' services speak, which is as late as TCP and goes down with the link. Not here:
ICE and DTLS (test_trunk_media), what is fetched afterwards, any assertion.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from relay.media import red, rtp
from relay.media.frame_info import PayloadError
from relay.media.told_timeline import TakeName
from relay.record.feed import FeedParser, Hello, Sync, Track, encode_ack
from relay.record.recording import RecorderSettings, below
from relay.record.session import LessonSession
from relay.record.told import Told
from relay.record.transcode import Transcoder
from relay.sfu.layer import Layer
from relay.sfu.packet import Received
from relay.sfu.router import Router
from relay.sfu.upstream import ToldTrack, Upstream, track_specs
from relay.sfu.wants import Wants
from relay.transport import offer, sdp
from relay.transport.ice import Credentials
from relay.transport.recorder_feed import RecorderFeed
from relay.transport.trunk_sdp import write_offer
from relay.transport.trunk_told import told_track
from tests.fakes.lesson_frames import ONE_LAYER, Encoder, Piece
from tests.fakes.lesson_publisher import FakePublisher, LayerPlan, SourcePlan
from tests.fakes.lesson_viewer import FakeWire
from tests.fakes.lesson_wire import Lesson, Link
from tests.fakes.rtp_media import Encoded, encode_video, payloads

LESSON: Final = "toan-7"
TIMER: Final = 0.02
LINE_EVERY: Final = 0.2
# What a lost segment of TCP costs at these round trips.
LINE_REPEAT: Final = 1.0
CONSENT: Final = 30.0  # s after which a silent peer's session is paused
COMMIT_EVERY: Final = 1.0
PICTURES: Final = SourcePlan("camera", "vp9", (LayerPlan("q"), LayerPlan("f")), 15.0)
SPEECH: Final = SourcePlan("voice", "opus", (LayerPlan(""),), 50.0)
SIZES: Final = {"q": (96, 64), "f": (160, 96)}

Frame = tuple[str, int]
"""A rendition's track and an RTP timestamp."""


class Footage(Encoder):
    """Real pictures in a loop that begins anew with every keyframe that is asked for."""

    def __init__(self, size: tuple[int, int], stream: int) -> None:
        super().__init__("vp9", stream, ONE_LAYER, 0)
        self._loop = encode_video("vp9", 150, 150, *size, 15)
        self._at = 0

    def encode(self, key: bool, packets: int, size: int, captured: float) -> list[Piece]:
        if key or self._at == len(self._loop):
            self._at = 0
        frame = self._loop[self._at]
        self._at += 1
        made = payloads("vp9", Encoded(self.count, frame.key, frame.data))
        self.count += 1
        return [Piece(payload, None) for payload in made]


class NotedFeed(RecorderFeed):
    """Remembers which packets it was given: what a relay received is known from here."""

    def __init__(self) -> None:
        super().__init__()
        self.frames: dict[Frame, set[int]] = defaultdict(set)
        """Of each frame, the hashes of the payloads that came."""
        self.order: list[tuple[str, int, int]] = []
        """Source, number of the track and RTP timestamp, of each packet."""

    def packet(self, layer: Layer, packet: Received) -> None:
        if layer.is_recorded:
            source = f"{layer.track.source}/{layer.rid}"
            data = packet.data[packet.payload_offset : packet.payload_end]
            parts: Iterable[tuple[int, bytes]] = [(packet.timestamp, data)]
            if packet.payload_type in layer.track.red:
                parts = _spoken(packet)
            for timestamp, part in parts:
                self.frames[source, timestamp].add(hash(part))
                self.order.append((source, self._numbers[layer], timestamp))
        super().packet(layer, packet)


def _spoken(packet: Received) -> Iterable[tuple[int, bytes]]:
    try:
        blocks = red.parse(packet.data, packet.payload_offset, packet.payload_end)
    except PayloadError:
        return
    for _, offset, frame in blocks:
        yield (packet.timestamp - offset) & 0xFFFFFFFF, frame


class Relay:
    """One relay's feed, recorder and files. clock: of the recorder's patience."""

    def __init__(self, archives: Path, settings: RecorderSettings, clock: Lesson) -> None:
        self.archives = archives
        self.feed = NotedFeed()
        self.told: list[Track | Sync] = []
        """Which tracks there were, and their anchors."""
        self._parser = FeedParser()
        self._name = ""
        self._last = 0
        self.executor = ThreadPoolExecutor(1)
        self.session = LessonSession(
            LESSON, archives, settings, self.executor, Transcoder(), lambda lesson, state: None
        )
        self.session._monotonic = lambda: clock.now
        self.feed.attach(self)

    def write(self, data: bytes) -> None:
        """The feed's records, at once."""
        for sequence, record in self._parser.receive(data):
            self._last = max(self._last, sequence)
            if isinstance(record, Hello):
                self._name = record.feed
                continue
            if isinstance(record, Track | Sync):
                self.told.append(record)
            self.session.receive(self._name, sequence, record)

    async def commit(self) -> None:
        """Make durable what can be."""
        self.session.advance()
        await self.session.commit()
        needed = self.session.needed()
        self.feed.receive(encode_ack(self._last if needed is None else needed - 1))

    def close(self) -> None:
        self.session.close()
        self.executor.shutdown()


class TrunkStory(Lesson):
    """`begin`, `join`, `run`, `cut`, `mend`, `end`; then look at `root` and `school`."""

    def __init__(
        self, directory: Path, *, seed: int = 1, behind: float = 0.0, delay: float = 0.15
    ) -> None:
        """behind: the school's clock is behind the root's, seconds. delay: of the link."""
        super().__init__(seed)
        recording = RecorderSettings(beat_ms=8_000)
        self.behind = behind
        self.root = Relay(directory / "root", recording, self)
        self.school = Relay(directory / "school", below(replace(recording, beat_ms=4_000)), self)
        self.router = Router(LESSON, self.fan_out, self.root.feed, beat=8.0, now=self.now)
        self.child: Router[FakeWire] = Router(
            LESSON, self.fan_out, self.school.feed, beat=8.0, now=self.theirs
        )
        self.down, self.up = Link(delay=delay), Link(delay=delay)
        self.line_delay = delay
        self.line_up = True
        self._session = 0
        """Of the trunk: what is under way to an earlier one arrives nowhere."""
        self._heard: tuple[Any, ...] = ()
        self._cut_at: float | None = None
        self._commit_at = self.now

    @property
    def theirs(self) -> float:
        """The school's clock."""
        return self.now - self.behind

    def begin(self, *plans: SourcePlan, **settings: Any) -> FakePublisher:
        """The teacher goes live with real pictures."""
        publisher = self.publish(*(plans or (SPEECH, PICTURES)), **settings)
        for outlet in publisher.outlets:
            if outlet.encoder is not None:
                outlet.encoder = Footage(SIZES[outlet.layer.rid or "f"], outlet.ssrc)
        return publisher

    # The trunk

    def join(self, bitrate: float = 400_000.0) -> None:
        """The school's relay calls its parent."""
        self._call(bitrate)
        self._tick()
        self._speak()

    def rejoin(self, bitrate: float = 400_000.0) -> None:
        """It begins another trunk in the place of the one that it has."""
        self.router.remove_viewer("school", self.now)
        self._session += 1
        self.child.unpublish("replaced by a newer trunk", self.theirs)
        self._call(bitrate)

    def _call(self, bitrate: float) -> None:
        text = write_offer(Credentials("abcd", "0123456789abcdef012345"), "AB:" * 31 + "AB", 1)
        accepted = offer.accept_viewer(sdp.parse(text), LESSON)
        slots = [replace(one.slot, exact=True) for one in accepted if one.slot is not None]
        wire = self._wire(self.down, self._from_parent)
        self.trunk = self.router.add_viewer("school", [], wire, self.now, bitrate)
        self.trunk.wants = Wants({"camera": (1, 0), "screen": (0,)})
        self.trunk.templates = {slot.slot: slot for slot in slots}
        self.trunk.repairs.delay = 4.0
        self.router.pause_viewer("school", self.now)
        self.router.resume_viewer("school", self.now)
        self._take(self._said())

    def _wire(self, link: Link, take: Callable[[bytes], None]) -> FakeWire:
        session = self._session

        def deliver(data: bytes) -> None:
            if session == self._session:
                take(data)

        return FakeWire(lambda data: self._carry(link, data, deliver))

    def _said(self) -> tuple[int, list[ToldTrack], Told | None]:
        """What the root's service would say now."""
        publisher = self.router.publisher
        layers = publisher.layers if publisher is not None else []
        take = TakeName(self.root.feed.name, self.router.epoch)
        tracks = [
            told_track(LESSON, one, take, self.now) for one in layers if one.payload_type >= 0
        ]
        recorder = self.root.session._recorder
        return self.router.epoch, tracks, None if recorder is None else recorder.tell()

    def _take(self, said: tuple[int, Sequence[ToldTrack], Told | None]) -> None:
        """What the school's service does with it."""
        epoch, tracks, told = said
        if told is not None:
            self.school.session.tell(Told.decode(told.encode()))
        upstream = self.child.publisher
        assert upstream is None or isinstance(upstream, Upstream)
        if (
            upstream is None
            or self.child.epoch != epoch
            or {one.source: one.rids for one in tracks}
            != {one.source: one.rids for one in upstream.tracks if one.source in _sources(tracks)}
        ):
            fresh = self.child.publish(
                f"trunk-{epoch}-{len(tracks)}",
                "root",
                track_specs(tracks),
                self.theirs,
                kind=Upstream,
            )
            assert isinstance(fresh, Upstream)
            if upstream is not None:
                fresh.strangers, fresh.rtt = upstream.strangers, upstream.rtt
                fresh.upstream_clock = upstream.upstream_clock
            upstream = fresh
            self.child.epoch = epoch
            wire = self._wire(self.up, self._from_child)
            self.child.connect_publisher(upstream.identity, wire)
        heard = upstream.tell(tracks, self.theirs)
        for layer, anchor in heard.anchors:
            self.school.feed.anchor(layer, anchor)
        for data, at in heard.packets:
            self.child.receive_rtp(data, at)
        self.child.flush(self.theirs)

    def _speak(self) -> None:
        """The line between the services: says what changed, as late as TCP is on such a link."""
        if self.line_up:
            epoch, tracks, told = said = self._said()
            key = (epoch, [replace(one, bitrate=0.0) for one in tracks], told)
            if key != self._heard:
                self._heard = key
                late = LINE_REPEAT if self.seed.random() < self.down.loss else 0.0
                self.at(self.now + self.line_delay + late, lambda: self._hear(said))
        self.at(self.now + LINE_EVERY, self._speak)

    def _hear(self, said: tuple[int, list[ToldTrack], Told | None]) -> None:
        if self.line_up:
            self._take(said)

    def _from_parent(self, data: bytes) -> None:
        if rtp.is_rtcp(data):
            self.child.receive_publisher_rtcp(data, self.theirs)
        else:
            self.child.receive_rtp(data, self.theirs)

    def _from_child(self, data: bytes) -> None:
        self.router.receive_viewer_rtcp(self.trunk, data, self.now)

    def _tick(self) -> None:
        self.child.handle_timer(self.theirs)
        self.child.flush(self.theirs)
        self.at(self.now + TIMER, self._tick)

    # What happens

    def cut(self) -> None:
        """The link and the line go down."""
        self.down.up = self.up.up = self.line_up = False
        self._cut_at = at = self.now
        self.school.session.lose_parent()
        self.at(self.now + CONSENT, lambda: self._lapse(at))

    def _lapse(self, cut_at: float) -> None:
        if self._cut_at == cut_at:
            self.router.pause_viewer("school", self.now)

    def mend(self, line_after: float = 3.0) -> None:
        """The link is back at once, the line a few seconds later."""
        self.down.up = self.up.up = True
        self._cut_at = None
        self.router.resume_viewer("school", self.now)

        def reconnect() -> None:
            self.line_up, self._heard = self._cut_at is None, ()

        self.at(self.now + line_after, reconnect)

    async def run(self, seconds: float) -> None:
        """Let the lesson go on, and both recorders write."""
        end = self.now + seconds
        while self.now < end:
            step = min(end, self._commit_at + COMMIT_EVERY) - self.now
            self.advance(step)
            if self.now >= self._commit_at + COMMIT_EVERY:
                self._commit_at = self.now
                await self.root.commit()
                await self.school.commit()

    async def end(self) -> None:
        """The teacher leaves, the lesson ends, and both archives are finished."""
        self.unpublish()
        self.root.feed.end_lesson(LESSON)
        await self.run(8.0)
        self.child.unpublish("the lesson ended", self.theirs)
        self.school.feed.end_lesson(LESSON)
        await self.run(2.0)
        for relay in (self.root, self.school):
            await relay.commit()
            relay.close()


def _sources(tracks: Iterable[ToldTrack]) -> set[str]:
    return {one.source for one in tracks}
