"""A teacher's browser in virtual time: simulcast video, voice, and answers to what it is asked.

Here: real RTP and RTCP with the extensions that browsers send, keyframes on request, RTX for what
is asked again, sender reports from a clock of its own. Not here: the link (lesson_wire), how
frames are packed (lesson_frames). Owned and driven by a `Lesson`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from relay.media import ntp, red, rtcp, rtcp_build, rtcp_parse, rtp
from relay.media.codec import AV1, OPUS, VP8, VP9, Codec
from relay.media.twcc import TransportFeedback
from relay.sfu.negotiated import TrackSpec
from tests.fakes.lesson_frames import (
    ONE_LAYER,
    SVC_LAYERS,
    VP8_LAYERS,
    Encoder,
    Pattern,
    Piece,
    Tag,
)

H264: Final = Codec(
    "h264",
    "video",
    90_000,
    1,
    MappingProxyType({"packetization-mode": "1", "profile-level-id": "42e01f"}),
)
CODECS: Final[Mapping[str, Codec]] = {
    "opus": OPUS,
    "vp8": VP8,
    "vp9": VP9,
    "h264": H264,
    "av1": AV1,
}
PAYLOAD_TYPES: Final[Mapping[str, int]] = {"vp8": 96, "vp9": 98, "h264": 102, "av1": 45}
PATTERNS: Final[Mapping[str, Pattern]] = {
    "vp8": VP8_LAYERS,
    "vp9": SVC_LAYERS,
    "av1": SVC_LAYERS,
    "h264": ONE_LAYER,
}
EXTENSIONS: Final[Mapping[str, int]] = {
    rtp.TRANSPORT_CC: 3,
    rtp.MID: 4,
    rtp.DEPENDENCY_DESCRIPTOR: 8,
    rtp.RID: 10,
    rtp.REPAIRED_RID: 11,
}
RTX_OFFSET: Final = 1  # each RTX payload type is its media's plus one
OPUS_TYPE, RED_TYPE = 111, 63
REPORT_INTERVAL: Final = 1.0


@dataclass(frozen=True, slots=True)
class LayerPlan:
    """packets, size in bytes: of a frame of the highest temporal layer.

    Frames of the middle layer are half as large again, those of the base layer three times as
    large, and keyframes have three times the packets.
    """

    rid: str
    packets: int = 1
    size: int = 200


CAMERA_PLAN: Final = (LayerPlan("q", 1, 80), LayerPlan("h", 1, 330), LayerPlan("f", 3, 330))


@dataclass(slots=True)
class SourcePlan:
    """What the teacher sends as one source. pattern: None for what the codec is used with."""

    source: str
    codec: str
    layers: tuple[LayerPlan, ...] = CAMERA_PLAN
    rate: float = 15.0
    pattern: Pattern | None = None
    nack: bool = True
    pli: bool = True
    delimiter: bool = False
    red: bool = False


@dataclass(slots=True)
class Outlet:
    """One stream on its way out: an encoding of a video, or the voice."""

    plan: SourcePlan
    layer: LayerPlan
    mid: str
    ssrc: int
    rtx_ssrc: int
    sequence: int
    timestamp: int
    clock_rate: int
    encoder: Encoder | None
    rtx_sequence: int = 7
    key_wanted: bool = True
    sending: bool = True
    packets: int = 0
    octets: int = 0
    keyframes: int = 0
    sent: dict[int, bytes] = field(default_factory=dict)
    frames: list[tuple[int, float]] = field(default_factory=list)
    """(frame count, capture time) of all that were sent."""


class FakePublisher:
    """plans: its sources. start: where sequence numbers, picture ids and counters begin.

    clock_offset, drift: its clock against true time, seconds and fraction. send is called with
    each RTP and RTCP packet.
    """

    def __init__(
        self,
        plans: tuple[SourcePlan, ...],
        send: Callable[[bytes], None],
        *,
        serial: int = 1,
        start: int = 1000,
        timestamp: int = 90_000,
        clock_offset: float = 1_000.0,
        drift: float = 0.0,
        voice_drift: float = 0.0,
        reports: bool = True,
        report_interval: float = REPORT_INTERVAL,
    ) -> None:
        self.send = send
        self.requests: list[tuple[float, int]] = []
        """(time, SSRC) of each keyframe request that arrived."""
        self.nacks: list[tuple[float, int, int]] = []
        self.feedback = 0
        self.reported: dict[int, float] = {}
        """SSRC → fraction lost in the newest report block."""
        self.outlets: list[Outlet] = []
        self.answers_nack = True
        self.answers_pli = True
        self._began: float | None = None
        self._clock_offset = clock_offset
        self._drift = {"voice": voice_drift}
        self._default_drift = drift
        self._transport = start & 0xFFFF
        self._serial = serial
        self._next_report = 0.0
        self._reports = reports
        self._report_interval = report_interval
        self._last_voice: tuple[int, bytes] | None = None
        self._voice_count = 0
        for number, plan in enumerate(plans):
            for index, layer in enumerate(plan.layers):
                ssrc = serial * 1000 + number * 100 + index * 10 + 1
                stream = ssrc
                video = plan.source != "voice"
                pattern = plan.pattern or PATTERNS.get(plan.codec, ONE_LAYER)
                self.outlets.append(
                    Outlet(
                        plan,
                        layer,
                        str(number),
                        ssrc,
                        ssrc + 1,
                        (start + 7 * index) & 0xFFFF,
                        (timestamp + 1_000_003 * index) & 0xFFFFFFFF,
                        90_000 if video else 48_000,
                        Encoder(
                            plan.codec, stream, pattern, start + index, delimiter=plan.delimiter
                        )
                        if video
                        else None,
                    )
                )
        self.tracks = tuple(_track(plan, str(n)) for n, plan in enumerate(plans))

    def outlet(self, source: str, rid: str = "") -> Outlet:
        """The stream of a source and layer."""
        return next(
            one for one in self.outlets if one.plan.source == source and one.layer.rid == rid
        )

    def of(self, source: str) -> list[Outlet]:
        """All streams of a source."""
        return [one for one in self.outlets if one.plan.source == source]

    def request(self, source: str) -> None:
        """The encoder decides by itself to send keyframes."""
        for outlet in self.of(source):
            outlet.key_wanted = True

    # Sending

    def frame(self, source: str, now: float) -> None:
        """Capture and send one frame of every layer of a source that is being sent."""
        if self._began is None:
            self._began = now
        for outlet in self.of(source):
            if outlet.sending:
                if outlet.encoder is None:
                    self._voice(outlet, now)
                else:
                    self._video(outlet, now)

    def _timestamp(self, outlet: Outlet, now: float) -> int:
        assert self._began is not None
        drift = self._drift.get(outlet.plan.source, self._default_drift)
        ticks = (now - self._began) * (1 + drift) * outlet.clock_rate
        return (outlet.timestamp + round(ticks)) & 0xFFFFFFFF

    def _video(self, outlet: Outlet, now: float) -> None:
        assert outlet.encoder is not None
        key, outlet.key_wanted = outlet.key_wanted, False
        packets = outlet.layer.packets
        if key:
            outlet.keyframes += 1
            packets = max(4 if outlet.plan.delimiter else 2, 3 * packets)
        outlet.frames.append((outlet.encoder.count, now))
        pieces = outlet.encoder.encode(key, packets, outlet.layer.size, now)
        for piece in pieces:
            self._packet(outlet, piece, PAYLOAD_TYPES[outlet.plan.codec], piece is pieces[-1], now)

    def _voice(self, outlet: Outlet, now: float) -> None:
        tag = Tag(outlet.ssrc, self._voice_count, 0, 1, 0, (), now).pack()
        outlet.frames.append((self._voice_count, now))
        self._voice_count += 1
        payload, payload_type = tag, OPUS_TYPE
        before, self._last_voice = self._last_voice, (self._timestamp(outlet, now), tag)
        if outlet.plan.red:
            distance = (self._last_voice[0] - before[0]) & 0xFFFFFFFF if before else 0
            fits = before is not None and 0 < distance <= red.MAX_TIMESTAMP_OFFSET
            blocks = [(OPUS_TYPE, distance, before[1])] if before is not None and fits else []
            payload = red.build([*blocks, (OPUS_TYPE, 0, tag)])
            payload_type = RED_TYPE
        self._packet(outlet, Piece(payload, None), payload_type, False, now)

    def _packet(
        self, outlet: Outlet, piece: Piece, payload_type: int, marker: bool, now: float
    ) -> None:
        data = rtp.build(
            payload_type,
            marker,
            outlet.sequence,
            self._timestamp(outlet, now),
            outlet.ssrc,
            self._extensions(outlet, rtp.RID, piece.descriptor),
            piece.payload,
        )
        outlet.sent[outlet.sequence] = data
        if len(outlet.sent) > 600:
            del outlet.sent[next(iter(outlet.sent))]
        outlet.sequence = (outlet.sequence + 1) & 0xFFFF
        outlet.packets += 1
        outlet.octets += len(piece.payload)
        self.send(data)

    def padding(self, source: str, rid: str, now: float) -> None:
        """A packet of nothing but padding, as probes without RTX are."""
        outlet = self.outlet(source, rid)
        data = bytearray(
            rtp.build(
                PAYLOAD_TYPES[outlet.plan.codec],
                False,
                outlet.sequence,
                self._timestamp(outlet, now),
                outlet.ssrc,
                self._extensions(outlet, rtp.RID, None),
                bytes(9) + b"\x0a",
            )
        )
        data[0] |= 0x20
        outlet.sequence = (outlet.sequence + 1) & 0xFFFF
        self.send(bytes(data))

    def _extensions(self, outlet: Outlet, rid_uri: str, descriptor: bytes | None) -> bytes:
        items = [
            (EXTENSIONS[rtp.TRANSPORT_CC], struct.pack("!H", self._transport)),
            (EXTENSIONS[rtp.MID], outlet.mid.encode()),
        ]
        self._transport = (self._transport + 1) & 0xFFFF
        if outlet.layer.rid:
            items.append((EXTENSIONS[rid_uri], outlet.layer.rid.encode()))
        if descriptor is not None:
            items.append((EXTENSIONS[rtp.DEPENDENCY_DESCRIPTOR], descriptor))
        return rtp.build_extension_block(items)

    def handle_timer(self, now: float) -> None:
        """Sender reports, once a second."""
        if not self._reports or self._began is None or now < self._next_report:
            return
        self._next_report = now + self._report_interval
        for outlet in self.outlets:
            if outlet.packets and outlet.sending:
                drifted = now + (now - self._began) * self._default_drift + self._clock_offset
                self.send(
                    rtcp_build.build_sr(
                        outlet.ssrc,
                        ntp.from_unix(drifted),
                        self._timestamp(outlet, now),
                        outlet.packets,
                        outlet.octets,
                    )
                )

    # Receiving

    def receive(self, data: bytes, now: float) -> None:
        """RTCP from the relay."""
        for packet in rtcp_parse.parse(data):
            if isinstance(packet, rtcp.Pli):
                self.requests.append((now, packet.media_ssrc))
                for outlet in self.outlets:
                    if outlet.ssrc == packet.media_ssrc and self.answers_pli:
                        outlet.key_wanted = True
            elif isinstance(packet, rtcp.Nack):
                self._repair(packet, now)
            elif isinstance(packet, TransportFeedback):
                self.feedback += sum(one is not None for one in packet.arrivals)
            elif isinstance(packet, rtcp.ReceiverReport):
                self.reported.update({one.ssrc: one.fraction_lost for one in packet.reports})
            elif isinstance(packet, rtcp.ReceiverReference):
                self.send(
                    rtcp_build.build_reference_reply(
                        self._serial * 1000 + 1, [(packet.ssrc, ntp.middle(packet.ntp_raw), 0)]
                    )
                )

    def _repair(self, packet: rtcp.Nack, now: float) -> None:
        outlet = next((one for one in self.outlets if one.ssrc == packet.media_ssrc), None)
        if outlet is None:
            return  # a stream that was replaced meanwhile
        for sequence in packet.seqs:
            self.nacks.append((now, packet.media_ssrc, sequence))
            data = outlet.sent.get(sequence)
            if data is None or not self.answers_nack:
                continue
            header = rtp.parse(data)
            found = rtp.extensions(data, header).get(EXTENSIONS[rtp.DEPENDENCY_DESCRIPTOR])
            descriptor = data[found[0] : sum(found)] if found else None
            self.send(
                rtp.build(
                    header.payload_type + RTX_OFFSET,
                    header.marker,
                    outlet.rtx_sequence,
                    header.timestamp,
                    outlet.rtx_ssrc,
                    self._extensions(outlet, rtp.REPAIRED_RID, descriptor),
                    struct.pack("!H", sequence) + data[header.payload_offset :],
                )
            )
            outlet.rtx_sequence = (outlet.rtx_sequence + 1) & 0xFFFF


def _track(plan: SourcePlan, mid: str) -> TrackSpec:
    if plan.source == "voice":
        return TrackSpec(
            "voice",
            mid,
            "audio",
            {OPUS_TYPE: OPUS},
            red={RED_TYPE: OPUS_TYPE},
            extensions=EXTENSIONS,
            nack=False,
            pli=False,
        )
    return TrackSpec(
        plan.source,
        mid,
        "video",
        {number: CODECS[name] for name, number in PAYLOAD_TYPES.items()},
        {number + RTX_OFFSET: number for number in PAYLOAD_TYPES.values()},
        rids=tuple(one.rid for one in plan.layers if one.rid),
        extensions=EXTENSIONS,
        nack=plan.nack,
        pli=plan.pli,
    )
