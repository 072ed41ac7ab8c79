"""One publishing session: which SSRC is which layer, repairs undone, feedback sent back.

Packets are told apart by declared SSRC, else by RID and MID (RFC 8852, RFC 9143), else by payload
type. RTX (RFC 4588) is unwrapped here, so that nobody further in ever sees it. Feedback to the
publisher: transport-wide arrival times, NACK, receiver reports, keyframe requests (RFC 4585,
RFC 5104). Pure: bytes and a time in, the packet for a layer out; `take_feedback` gives RTCP.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Final

from relay.media import ntp, rtcp, rtcp_build, rtcp_parse, rtp
from relay.media.codec import PAYLOAD_PARSERS, VP9
from relay.media.dependency_descriptor import Reader
from relay.media.frame_info import PacketInfo, PayloadError
from relay.media.rtcp_error import RtcpError
from relay.media.timeline import PublisherClock
from relay.media.twcc import ArrivalLog
from relay.media.vp9_references import References
from relay.sfu.layer import Layer
from relay.sfu.negotiated import TrackSpec
from relay.sfu.packet import Received

# libwebrtc's own pace between 50 and 250 ms; the short end lets the teacher's encoder react.
FEEDBACK_INTERVAL: Final = 0.05
REPORT_INTERVAL: Final = 1.0
# Until a round trip is known; teachers sit on the relay's LAN or one national hop away.
DEFAULT_RTT: Final = 0.1
# SSRCs that a publisher may use: 2 sources × 3 layers, as many repairs, a voice; twice for safety.
MAX_SSRCS: Final = 64
# An encoding begins anew, or changes its codec, at most so often, seconds: each time costs every
# room a new beginning and the recording a new segment.
CHANGES_APART: Final = 1.0
# Sender of our RTCP; the relay sends no media to a publisher, so any value but 0 serves.
OWN_SSRC: Final = 1
_u16: Final = struct.Struct("!H").unpack_from


class Publisher:
    """tracks: what was negotiated.

    new_layer(track, rid, ssrc, old) is called for each encoding that shows up; `old` is the layer
    that it replaces, which gets no packets any more.
    """

    def __init__(
        self,
        identity: str,
        subject: str,
        tracks: Sequence[TrackSpec],
        new_layer: Callable[[TrackSpec, str, int, Layer | None], Layer],
        now: float,
    ) -> None:
        self.identity = identity
        self.subject = subject
        self.tracks = tuple(tracks)
        self.started_at = now
        self.last_packet = now
        self.clock = PublisherClock()
        self.layers: list[Layer] = []
        self.rtt = DEFAULT_RTT
        self.malformed = 0
        self.unknown = 0
        self.restless = 0
        """Packets of an encoding that began anew too often."""
        self._new_layer = new_layer
        self._by_ssrc: dict[int, Layer] = {}
        self._repairs: dict[int, Layer] = {}
        self._readers: dict[Layer, Reader] = {}
        self._references: dict[Layer, References] = {}
        self._replaced: dict[int, None] = {}
        self._arrivals = ArrivalLog()
        self._next_feedback = now + FEEDBACK_INTERVAL
        self._next_report = now + REPORT_INTERVAL
        self._pending: list[bytes] = []

    # Media in

    def receive_rtp(self, data: bytes, now: float) -> tuple[Layer, Received] | None:
        """The layer and packet that `data` is, or None when it is none, repeated or useless."""
        try:
            header = rtp.parse(data)
        except rtp.RtpError:
            self.malformed += 1
            return None
        self.last_packet = now
        ssrc = header.ssrc
        repaired = self._repairs.get(ssrc)
        layer = self._by_ssrc.get(ssrc)
        if layer is None and repaired is None:
            layer, repaired = self._identify(data, header)
            if layer is None and repaired is None:
                self._stranger(data, header, now)
                return None
        known = layer or repaired
        assert known is not None
        self._note_arrival(data, header, known.track, now)
        if repaired is not None:
            return self._receive_repair(data, header, repaired, now)
        assert layer is not None
        if header.payload_type in layer.track.rtx:
            # Some senders repair under the media SSRC when no RTX SSRC was declared.
            return self._receive_repair(data, header, layer, now)
        return self._receive_media(data, header, layer, now, repair=False)

    def _stranger(self, data: bytes, header: rtp.RtpHeader, now: float) -> None:
        """A packet of a stream that is none of the session's."""
        self.unknown += 1

    def _note_arrival(
        self, data: bytes, header: rtp.RtpHeader, track: TrackSpec, now: float
    ) -> None:
        identifier = track.extensions.get(rtp.TRANSPORT_CC)
        if identifier is not None:
            found = rtp.find_extension(data, header, identifier)
            if found is not None and found[1] == 2:
                self._arrivals.receive(_u16(data, found[0])[0], now)

    def _receive_repair(
        self, data: bytes, header: rtp.RtpHeader, layer: Layer, now: float
    ) -> tuple[Layer, Received] | None:
        original_type = layer.track.rtx.get(header.payload_type)
        start = header.payload_offset
        if original_type is None or header.payload_end - start < 2:
            return None  # padding used as a probe, or a payload type never agreed
        # RFC 4588 §4: the original sequence number, then the original payload.
        original = bytearray(data[:start] + data[start + 2 : header.payload_end])
        original[0] &= 0xDF
        original[1] = (original[1] & 0x80) | original_type
        original[2:4] = data[start : start + 2]
        original[8:12] = layer.ssrc.to_bytes(4, "big")
        restored = bytes(original)
        return self._receive_media(restored, rtp.parse(restored), layer, now, repair=True)

    def _receive_media(
        self, data: bytes, header: rtp.RtpHeader, layer: Layer, now: float, *, repair: bool
    ) -> tuple[Layer, Received] | None:
        codec = layer.track.codecs.get(header.payload_type)
        if codec is None and header.payload_type not in layer.track.red:
            self.malformed += 1
            return None
        if layer.is_far(header.sequence_number):
            if repair or not layer.is_new_start(header.sequence_number):
                return None
            if now - layer.began_at < CHANGES_APART:
                self.restless += 1
                return None
            layer = self._begin_layer(layer.track, layer.rid, layer.ssrc)
        if not repair:
            layer.reception.receive(header.sequence_number, header.timestamp, now)
        if not layer.nack.receive(header.sequence_number, now):
            return None  # it came before
        sequence = layer.unwrapper.unwrap(header.sequence_number)
        if header.payload_end == header.payload_offset:
            # Padding keeps its number: the hole it leaves in what is forwarded would be asked
            # for, so it travels on as an empty packet.
            info = PacketInfo(temporal_id=0)
        else:
            read = self._describe(data, header, layer, codec.name if codec else "red")
            if read is None:
                return None
            info = read
            if codec is not None and codec.name == VP9.name:
                data = self._references[layer].mend(data, header.payload_offset, info)
        packet = Received(
            sequence,
            data,
            header.payload_type,
            header.marker,
            header.timestamp,
            header.payload_offset,
            header.payload_end,
            header.extension_offset,
            info,
            now,
        )
        return layer, packet

    def _describe(
        self, data: bytes, header: rtp.RtpHeader, layer: Layer, codec_name: str
    ) -> PacketInfo | None:
        try:
            info = PAYLOAD_PARSERS[codec_name](
                data, header.payload_offset, header.payload_end, header.marker
            )
            identifier = layer.track.extensions.get(rtp.DEPENDENCY_DESCRIPTOR)
            if layer.is_video and identifier is not None:
                found = rtp.find_extension(data, header, identifier)
                if found is not None:
                    descriptor = self._readers[layer].read(data, *found)
                    if descriptor is not None:
                        descriptor.apply_to(info)
        except PayloadError:
            self.malformed += 1
            return None
        return info

    def _identify(self, data: bytes, header: rtp.RtpHeader) -> tuple[Layer | None, Layer | None]:
        """(layer, None) for media, (None, layer) for its repairs, (None, None) for neither."""
        if len(self._by_ssrc) + len(self._repairs) >= MAX_SSRCS:
            return None, None
        ssrc, found = header.ssrc, rtp.extensions(data, header)
        if ssrc in self._replaced:
            # Taking it back would let two streams of one encoding replace each other for ever.
            return None, None

        def text(track: TrackSpec, uri: str) -> str:
            at = found.get(track.extensions.get(uri, 0))
            return data[at[0] : at[0] + at[1]].decode("ascii", "replace") if at else ""

        for track in self.tracks:
            if ssrc in track.repairs:
                media = self._by_ssrc.get(track.repairs[ssrc])
                if media is not None:
                    self._repairs[ssrc] = media
                return None, media
        candidates = [
            track
            for track in self.tracks
            if ssrc in track.ssrcs or text(track, rtp.MID) == track.mid != ""
        ] or [
            track
            for track in self.tracks
            if header.payload_type in track.codecs
            or header.payload_type in track.red
            or header.payload_type in track.rtx
        ]
        if len(candidates) != 1:
            return None, None
        track = candidates[0]
        if header.payload_type in track.rtx:
            rid = text(track, rtp.REPAIRED_RID) if track.rids else ""
            for layer in self.layers:
                if layer.track is track and layer.rid == rid:
                    self._repairs[ssrc] = layer
                    return None, layer
            return None, None
        rid = track.unnamed.get(ssrc) or text(track, rtp.RID)
        if track.rids and rid not in track.rids:
            return None, None
        return self._begin_layer(track, rid if track.rids else "", ssrc), None

    def _begin_layer(self, track: TrackSpec, rid: str, ssrc: int) -> Layer:
        """A new layer, in the place of the one that this encoding had."""
        for old in self.layers:
            if old.track is track and old.rid == rid:
                if old.ssrc != ssrc:
                    repairs = [key for key, one in self._repairs.items() if one is old]
                    for former in (old.ssrc, *repairs):
                        self._repairs.pop(former, None)
                        self._replaced[former] = None
                    while len(self._replaced) > MAX_SSRCS:
                        del self._replaced[next(iter(self._replaced))]
                self._by_ssrc.pop(old.ssrc, None)
                self._readers.pop(old, None)
                self._references.pop(old, None)
                self.layers.remove(old)
                break
        else:
            old = None
        layer = self._new_layer(track, rid, ssrc, old)
        if old is not None and old.ssrc == ssrc:
            self._repairs = {
                key: layer if one is old else one for key, one in self._repairs.items()
            }
        self.layers.append(layer)
        self._by_ssrc[ssrc] = layer
        self._readers[layer] = Reader()
        self._references[layer] = References()
        return layer

    # Control in

    def receive_rtcp(self, data: bytes, now: float) -> list[tuple[Layer, rtcp.SenderReport]]:
        """Sender reports of known layers; round-trip times are taken note of."""
        reports: list[tuple[Layer, rtcp.SenderReport]] = []
        try:
            packets = rtcp_parse.parse(data)
        except RtcpError:
            self.malformed += 1
            return reports
        for packet in packets:
            if isinstance(packet, rtcp.SenderReport):
                layer = self._by_ssrc.get(packet.ssrc)
                # A sender without a clock reports time 0 (RFC 3550 §6.4.1): it ties nothing.
                if layer is not None and packet.ntp_raw:
                    layer.reception.receive_sender_report(packet, now)
                    reports.append((layer, packet))
            elif isinstance(packet, rtcp.ReferenceReply):
                for ssrc, last, delay in packet.entries:
                    trip = ntp.round_trip(ntp.middle(ntp.from_unix(now)), last, delay)
                    if ssrc == OWN_SSRC and trip is not None:
                        self.rtt = trip
        return reports

    # Feedback out

    def request_keyframe(self, layers: Sequence[Layer]) -> None:
        """Ask for keyframes of these layers in one datagram (RFC 4585 §6.3.1)."""
        self._pending.append(
            b"".join(rtcp_build.build_pli(OWN_SSRC, layer.ssrc) for layer in layers)
        )

    def handle_timer(self, now: float) -> list[Layer]:
        """Make due feedback; returns layers that lost packets for good since the last call."""
        broken: list[Layer] = []
        for layer in self.layers:
            wanted = layer.nack.handle_timer(now, self.rtt)
            if layer.track.nack:
                if wanted:
                    self._pending.append(rtcp_build.build_nack(OWN_SSRC, layer.ssrc, wanted))
            elif wanted:
                # Nobody answers: what is missing is lost.
                layer.nack.reset_before((wanted[-1] + 1) & 0xFFFF)
            if layer.lost_for_good():
                broken.append(layer)
        if now >= self._next_feedback:
            self._next_feedback = now + FEEDBACK_INTERVAL
            ssrc = self.layers[0].ssrc if self.layers else 0
            while (feedback := self._arrivals.build(now, OWN_SSRC, ssrc)) is not None:
                self._pending.append(feedback)
        if now >= self._next_report:
            self._next_report = now + REPORT_INTERVAL
            reports = (layer.reception.report(now) for layer in self.layers)
            blocks = [block for block in reports if block is not None]
            for first in range(0, max(len(blocks), 1), 31):
                self._pending.append(rtcp_build.build_rr(OWN_SSRC, blocks[first : first + 31]))
            self._pending[-1] += rtcp_build.build_receiver_reference(OWN_SSRC, ntp.from_unix(now))
        return broken

    def get_timer(self) -> float:
        """When `handle_timer` wants to run next, seconds."""
        due = self._next_report
        if self._arrivals.is_due and self._next_feedback < due:
            due = self._next_feedback
        for layer in self.layers:
            timer = layer.nack.get_timer()
            if timer is not None and timer < due:
                due = timer
        return due

    def take_feedback(self) -> list[bytes]:
        """Compound RTCP packets to send to the publisher, each its own datagram."""
        pending, self._pending = self._pending, []
        return pending
