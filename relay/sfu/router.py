"""One lesson's forwarding: packets of the publisher in, the same bytes out to every viewer's leg.

A packet's way: `receive_rtp` → publisher finds its layer → layer keeps it → each group of viewers
rebuilds its header once → the outbox hands runs of equal packets to `FanOut`. Viewers join, switch
and recover at frame starts. Nothing is decoded, and nothing here knows sockets or clocks: `now` is
seconds of the relay's clock (Unix time that never jumps). A little longer than other files: the
whole way of a packet through a lesson stands here. Pure; one router per lesson.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Generic

from relay.media import rtcp, rtcp_parse
from relay.media.rtcp_error import RtcpError
from relay.media.twcc import TransportFeedback
from relay.sfu.derived import DerivedLayers, extended
from relay.sfu.joining import Joining
from relay.sfu.keyframes import KeyframeSchedule
from relay.sfu.layer import CACHE_SECONDS, Layer
from relay.sfu.leg import Leg
from relay.sfu.negotiated import SCREEN, SlotSpec, TrackSpec
from relay.sfu.outbox import Outbox
from relay.sfu.pacing import Pace
from relay.sfu.packet import Received
from relay.sfu.probing import probe
from relay.sfu.publisher import CHANGES_APART, Publisher
from relay.sfu.redundancy import repeated_bytes, restored
from relay.sfu.repairs import repair
from relay.sfu.reports import sender_reports
from relay.sfu.selection import Selection
from relay.sfu.sink import FanOut, Feed
from relay.sfu.starving import patience, starves, steps_up
from relay.sfu.viewer import Viewer, W

# A packet that so many others overtook goes to no room unasked: transports refuse to send numbers
# far behind the newest (their replay window, RFC 3711 §3.3.2).
LATE_MOST: Final = 480
# On UDP and IP, with an authentication tag: what a link carries for each packet.
_AROUND: Final = 28 + 16
_REPORT_SLICES: Final = 10
# Of these slices, one in so many asks after links that take more than is sent.
_EASY_EVERY: Final = 5
# A newcomer needs reports at once to line up voice and picture; later they only follow the drift
# of clocks, and RFC 3550 §6.2 asks for no more than one in 5 s.
_FIRST_REPORTS: Final = 5
_REPORT_EVERY: Final = 5
# A publisher that sent nothing for so long is not publishing; the session may still come back.
PUBLISHING_SECONDS: Final = 3.0


class Router(Generic[W]):
    """lesson: its id. feed: where the recording is taken from, or None."""

    def __init__(
        self, lesson: str, fan_out: FanOut[W], feed: Feed | None, *, beat: float, now: float
    ) -> None:
        self.lesson = lesson
        self.publisher: Publisher | None = None
        self.viewers: dict[str, Viewer[W]] = {}
        self.keyframes = KeyframeSchedule(beat)
        self.epoch = 0
        self._publisher_wire: W | None = None
        self._fan_out = fan_out
        self._feed = feed
        self.derived = DerivedLayers(self._layers, self._take, self._end_layer, self._ask)
        self._next_track = 1
        self._outbox = Outbox(fan_out)
        self.touched = False
        """Whether media came since the last look: packets may wait, timers may have moved."""
        self._ended: list[Layer] = []
        self._joining = Joining(self.flush, fan_out)
        self._selection = Selection(self._joining, self.keyframes.get_timer, lesson)
        self._next_reports = now
        self._report_slice = 0
        self._now = now
        self._waiting: dict[Pace[W], None] = {}
        """Of viewers for whose links packets wait."""

    # The publisher

    def publish(
        self,
        identity: str,
        subject: str,
        tracks: Sequence[TrackSpec],
        now: float,
        kind: type[Publisher] = Publisher,
    ) -> Publisher:
        """A publisher of this kind begins; one that was there before is replaced."""
        if self.publisher is not None:
            self.unpublish("replaced", now)
        self.epoch += 1
        self.publisher = kind(identity, subject, extended(tracks), self._new_layer, now)
        self.keyframes.is_followed = kind is not Publisher
        return self.publisher

    def connect_publisher(self, identity: str, wire: W) -> None:
        """The publisher's transport is ready to take feedback."""
        if self.publisher is not None and self.publisher.identity == identity:
            self._publisher_wire = wire

    def unpublish(self, reason: str, now: float) -> None:
        """The publisher is gone for good; viewers stay and wait."""
        publisher = self.publisher
        if publisher is None:
            return
        self.flush(now)
        for layer in [layer for layer in publisher.layers if layer.origin is None]:
            self._end_layer(layer, reason)
        self.publisher = None
        self._publisher_wire = None
        self._selection.reset(self.viewers.values(), [], now)

    def is_publishing(self, now: float) -> bool:
        """Whether media arrives."""
        publisher = self.publisher
        return (
            publisher is not None
            and bool(publisher.layers)
            and now - publisher.last_packet < PUBLISHING_SECONDS
        )

    def sources(self, now: float) -> list[str]:
        """Names of the sources that send now, in the order voice, camera, screen."""
        if self.publisher is None:
            return []
        active = {
            layer.track.source for layer in self.publisher.layers if layer.rate.is_active(now)
        }
        return [name for name in ("voice", "camera", SCREEN) if name in active]

    def _new_layer(self, track: TrackSpec, rid: str, ssrc: int, old: Layer | None) -> Layer:
        index = track.rids.index(rid) if rid in track.rids else 0
        layer = Layer(track, rid, index, ssrc, self._next_track)
        layer.began_at = self._now
        self._next_track += 1
        if old is not None:
            self._end_layer(old, "restarted")
            layer.keyframe_asked_at = old.keyframe_asked_at
        self._selection.changed = True
        return layer

    def _end_layer(self, layer: Layer, reason: str) -> None:
        self.derived.end(layer, reason)
        self.flush(self._now)
        self._joining.abandon(layer)
        self._selection.changed = True
        layer.pictures.clear()
        # Its last packets may be asked for a while longer.
        self._ended.append(layer)
        if self._feed is not None and layer.payload_type >= 0 and layer.origin is None:
            self._feed.end_track(layer, reason)

    # Media

    def receive_rtp(self, data: bytes, now: float) -> None:
        """One packet of the publisher, SRTP undone. `flush` sends what it led to."""
        publisher = self.publisher
        if publisher is None:
            return
        self._now = now
        self.touched = True
        found = publisher.receive_rtp(data, now)
        if found is None:
            return
        layer, packet = found
        if packet.payload_type in layer.track.red and 0 <= layer.highest < packet.sequence - 1:
            for lost in restored(layer, packet):
                layer.nack.receive(lost.sequence & 0xFFFF, now)
                self._accept(layer, lost, now)
        self._accept(layer, packet, now)

    def _accept(self, layer: Layer, packet: Received, now: float) -> None:
        """One packet of the publisher, new to its layer."""
        in_order = packet.sequence > layer.highest
        if not self._prepare(layer, packet, in_order, now):
            return
        if self._feed is not None:
            self._feed.packet(layer, packet)
        if layer in self.derived.sources:
            self.derived.packet(layer, packet)
        self._take(layer, packet, in_order, now)

    def _take(self, layer: Layer, packet: Received, in_order: bool, now: float) -> None:
        """Keep and forward a packet, the publisher's or a derived one."""
        self.touched = True
        if layer.highest < 0:
            self._selection.changed = True  # derived layers begin here, and change others' places
        layer.store(packet)
        size = len(packet.data) + _AROUND - repeated_bytes(layer, packet)
        layer.rate.receive(size, packet.info.temporal_id, now)
        if self._selection.changed:
            # At once, so that rooms which wait for a lesson miss none of its beginning.
            self._selection.reset(self.viewers.values(), self._layers(), now)
        if in_order:
            follows = packet.sequence == layer.highest + 1
            layer.highest = packet.sequence
            if not layer.is_video:
                if layer.joiners:
                    self._joining.at_frame_start(layer, packet, follows, now)
            elif layer.add_picture(packet):
                if packet.info.keyframe:
                    self.keyframes.seen(layer, now)
                    self._joining.begin_afresh(layer, packet, now)
                if layer.joiners:
                    self._joining.at_frame_start(layer, packet, follows, now)
        elif layer.is_video:
            layer.add_late_picture(packet)
        self._forward(layer, packet, in_order)

    def _prepare(self, layer: Layer, packet: Received, in_order: bool, now: float) -> bool:
        """What the first packet of a layer, or of a codec in it, brings about.

        False for a late packet of a codec that the layer had before: nobody expects it any more.
        """
        if packet.payload_type != layer.payload_type:
            red = layer.track.red
            # Voice may go back and forth between RED and the Opus inside it: one codec.
            codec = red.get(packet.payload_type, packet.payload_type)
            if codec == red.get(layer.payload_type, layer.payload_type):
                if in_order:
                    layer.payload_type = packet.payload_type
            elif layer.payload_type >= 0 and not in_order:
                return False
            elif now - layer.codec_began_at < CHANGES_APART:
                return False  # every change makes all rooms join again
            else:
                self._begin_codec(layer, packet, now)
        elif layer.timeline.receive_packet(packet.timestamp, now) is not None:
            assert layer.timeline.anchor is not None
            if self._feed is not None:
                self._feed.anchor(layer, layer.timeline.anchor)
        return True

    def _begin_codec(self, layer: Layer, packet: Received, now: float) -> None:
        """Timeline and recording begin; who received the codec before has to join again."""
        self.flush(now)
        if layer.timeline.receive_packet(packet.timestamp, now) and not layer.slot_offset_exact:
            layer.slot_offset = layer.timeline.slot_offset()
        layer.codec_began_at = now
        if layer.payload_type >= 0:
            self.derived.end(layer, "codec changed")
            self._joining.abandon(layer)
            layer.pictures.clear()
            layer.last_frame = None
            layer.last_keyframe_timestamp = None
            if self._feed is not None:
                self._feed.end_track(layer, "codec changed")
            layer.feed_track = self._next_track
            self._next_track += 1
        layer.payload_type = packet.payload_type
        codec = layer.track.codecs.get(packet.payload_type)
        if codec is not None:
            layer.codec_name = codec.name
        if self._feed is not None:
            assert layer.timeline.anchor is not None
            self._feed.begin_track(self.lesson, layer, self.epoch)
            self._feed.anchor(layer, layer.timeline.anchor)
        self._selection.changed = True
        self.keyframes.start(now)

    def _forward(self, layer: Layer, packet: Received, in_order: bool) -> None:
        if layer.highest - packet.sequence > LATE_MOST:
            return  # in the cache by now, for whoever asks
        joined = self._joining.joined
        for group in layer.groups.values():
            if group.legs.is_empty and group not in joined:
                continue
            out = group.forward(packet)
            if out is None:
                continue
            if joined and group in joined:
                for leg, continues in joined.pop(group):
                    leg.join(group, out, continues=continues)
            legs: Sequence[Leg[W]] = group.legs
            if not in_order:
                # A late packet is for those only who were here when its number was given.
                legs = [
                    leg
                    for leg in group.legs.everyone()
                    if out.sequence + leg.sequence_offset >= leg.joined_at
                ]
            if legs or not group.legs.is_empty:
                self._outbox.add(group, out, legs, packet.arrived)
        if layer.is_video:
            self._outbox.note_frame(layer, finished=packet.marker)

    def holds_until(self) -> float | None:
        """Until when a flush may wait for the rest of a frame, None when it should not."""
        return self._outbox.holds_until()

    def flush(self, now: float) -> None:
        """Send what was received since the last flush."""
        self._outbox.flush(now)

    def receive_publisher_rtcp(self, data: bytes, now: float) -> None:
        """Sender reports and round trips of the publisher."""
        publisher = self.publisher
        if publisher is None:
            return
        for layer, report in publisher.receive_rtcp(data, now):
            anchor = layer.timeline.receive_report(
                report.rtp_timestamp, report.ntp_time, publisher.clock, now
            )
            if anchor is None:
                continue
            if not layer.slot_offset_exact and not any(
                not group.legs.is_empty for group in layer.groups.values()
            ):
                layer.slot_offset = layer.timeline.slot_offset()
                layer.slot_offset_exact = True
            if self._feed is not None and layer.payload_type >= 0:
                self._feed.anchor(layer, anchor)

    # Viewers

    def add_viewer(
        self, identity: str, slots: Sequence[SlotSpec], wire: W, now: float, start_bitrate: float
    ) -> Viewer[W]:
        """A viewer whose transport is ready; media begins at once from the cache."""
        viewer = Viewer(
            identity, slots, wire, self._fan_out, now, start_bitrate, self._begins_to_wait
        )
        self.viewers[identity] = viewer
        self.resume_viewer(identity, now)
        return viewer

    def remove_viewer(self, identity: str, now: float) -> None:
        """The session is over."""
        self.pause_viewer(identity, now)
        self.viewers.pop(identity, None)

    def pause_viewer(self, identity: str, now: float) -> None:
        """Consent lapsed: nothing is sent, the session and its numbers stay."""
        viewer = self.viewers.get(identity)
        if viewer is None or not viewer.running:
            return
        self.flush(now)
        viewer.running = False
        viewer.rung = None
        for leg in viewer.legs.values():
            self._joining.detach(leg, finish=False)
        viewer.pace.clear()

    def resume_viewer(self, identity: str, now: float) -> None:
        """Consent is back, or the viewer is new: a picture at once from the cache."""
        viewer = self.viewers.get(identity)
        if viewer is None or viewer.running:
            return
        viewer.running = True
        viewer.since = now
        self._selection.start(viewer, self._layers(), now)

    def receive_viewer_rtcp(self, viewer: Viewer[W], data: bytes, now: float) -> None:
        """Feedback of a viewer; what cannot be read is ignored."""
        packets: list[rtcp.Packet] = []
        heard = viewer.is_easy and viewer.receive_calm_feedback(data, now)
        if not heard:
            try:
                packets = rtcp_parse.parse(data)
            except RtcpError:
                return
        for packet in packets:
            if isinstance(packet, TransportFeedback):
                viewer.receive_transport_feedback(packet, now)
                heard = True
            elif isinstance(packet, rtcp.ReceiverReport | rtcp.SenderReport):
                for block in packet.reports:
                    if block.ssrc in viewer.by_ssrc:
                        viewer.receive_report(block, now)
            elif isinstance(packet, rtcp.Nack):
                leg = viewer.by_ssrc.get(packet.media_ssrc)
                if leg is not None and viewer.running:
                    self.flush(now)
                    repair(self._fan_out, viewer, leg, packet.seqs, now)
            elif isinstance(packet, rtcp.Pli | rtcp.Fir):
                self._lost_picture(viewer, packet, now)
            elif isinstance(packet, rtcp.Remb) and not viewer.has_transport_feedback:
                viewer.bandwidth.receive_remb(packet.bitrate, now)
        if heard and now in (viewer.bandwidth.congested_at, viewer.bandwidth.resumed_at):
            viewer.next_allocation = now
        if now >= viewer.next_allocation and viewer.running:
            self._selection.allocate(viewer, self._layers(), now)

    def _lost_picture(self, viewer: Viewer[W], packet: rtcp.Pli | rtcp.Fir, now: float) -> None:
        ssrcs = (
            [packet.media_ssrc]
            if isinstance(packet, rtcp.Pli)
            else [ssrc for ssrc, _ in packet.entries]
        )
        for ssrc in ssrcs:
            leg = viewer.by_ssrc.get(ssrc)
            if leg is None or leg.target is None or not viewer.running:
                continue
            if not viewer.repairs.may_plead(viewer.bandwidth.bitrate, now):
                return
            trip = self.publisher.rtt if self.publisher is not None else 0.0
            if not self._joining.recover(leg, viewer.rtt, patience(trip), now):
                # A link that its pictures are too heavy for loses them again and again.
                self._ask([leg.target], now, seldom=not leg.may_burst)

    def _layers(self) -> list[Layer]:
        return self.publisher.layers if self.publisher is not None else []

    # Time

    def handle_timer(self, now: float) -> None:
        """Feedback, beats, reports: whatever is due."""
        self._now = now
        publisher = self.publisher
        if publisher is not None:
            for layer in publisher.handle_timer(now):
                layer.damaged = layer.is_video
            # A request or its keyframe may be lost: as long as it is wanted, ask again.
            wanted = [
                layer
                for layer in publisher.layers
                if layer.damaged or starves(layer, publisher.rtt, now)
            ]
            if wanted:
                self._ask([layer for layer in wanted if layer.rate.is_active(now)], now)
            waited = [one for one in publisher.layers if steps_up(one) and one.rate.is_active(now)]
            if waited:
                self._ask(waited, now, seldom=True)
            self._request(self.keyframes.handle_timer(publisher.layers, now))
            wire = self._publisher_wire
            for feedback in publisher.take_feedback():
                if wire is not None:
                    self._fan_out.send_rtcp(wire, feedback)
        if self._selection.needs_reset(self._layers(), now):
            self._selection.reset(self.viewers.values(), self._layers(), now)
        for pace in list(self._waiting):
            pace.handle_timer(now)
            if not pace.is_busy:
                del self._waiting[pace]
        if now >= self._next_reports:
            self._next_reports = now + 1.0 / _REPORT_SLICES
            self._send_reports(now)
            self._probe(now)
            self._expire(now)

    def _expire(self, now: float) -> None:
        """Free what layers keep that get no packets any more: put lets go of old ones else."""
        for layer in (*self._ended, *self._layers()):
            if not layer.rate.is_active(now):
                layer.expire(now)
        self._ended = [
            layer for layer in self._ended if now - layer.rate.last_packet < CACHE_SECONDS
        ]

    def get_timer(self) -> float:
        """When `handle_timer` wants to run next, seconds; never in the past by much."""
        due = self._next_reports if self.viewers else self._now + 1.0
        if self.publisher is not None:
            due = min(due, self.publisher.get_timer())
            beat = self.keyframes.get_timer()
            if beat is not None:
                due = min(due, beat)
        for pace in self._waiting:
            timer = pace.get_timer(self._now)
            if timer is not None and timer < due:
                due = timer
        return due

    def _begins_to_wait(self, pace: Pace[W]) -> None:
        self._waiting[pace] = None
        self.touched = True

    def _probe(self, now: float) -> None:
        """Ask the links that seem to take more whether they do."""
        publisher = self.publisher
        # Without packets there is no feedback to miss.
        sending = publisher is not None and now - publisher.last_packet < 2.0 / _REPORT_SLICES
        rest = self._report_slice % _EASY_EVERY
        for viewer in self.viewers.values():
            if viewer.is_easy and rest:
                continue  # there is nothing to ask for
            if not viewer.running:
                continue
            if viewer.has_transport_feedback or viewer.has_reports:
                viewer.bandwidth.handle_timer(now, sending=sending and viewer.flows)
                if viewer.bandwidth.congested_at == now:
                    self._selection.allocate(viewer, self._layers(), now)  # it fell silent
            if viewer.has_transport_feedback:
                probe(viewer, now)

    def _ask(self, layers: Sequence[Layer], now: float, *, seldom: bool = False) -> None:
        self._request(self.keyframes.ask(layers, now, seldom=seldom))

    def _request(self, layers: Sequence[Layer]) -> None:
        """Ask for keyframes, each of whoever makes the layer."""
        theirs = [layer for layer in layers if layer.origin is None]
        if theirs and self.publisher is not None:
            self.publisher.request_keyframe(theirs)
        self.derived.request_keyframes(layers)

    def _send_reports(self, now: float) -> None:
        """A tenth of the viewers each time, so that each has its turn once a second."""
        self._report_slice = (self._report_slice + 1) % _REPORT_SLICES
        for viewer in list(self.viewers.values())[self._report_slice :: _REPORT_SLICES]:
            if viewer.running:
                viewer.report_turn += 1
                if viewer.report_turn <= _FIRST_REPORTS or viewer.report_turn % _REPORT_EVERY == 0:
                    report = sender_reports(viewer, self.lesson, now)
                    if report:
                        self._fan_out.send_rtcp(viewer.wire, report)
                viewer.hold.handle_timer(now)
                if now >= viewer.next_allocation:
                    self._selection.allocate(viewer, self._layers(), now)
