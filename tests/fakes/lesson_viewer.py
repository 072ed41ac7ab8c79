"""A room's browser in virtual time: asks for what it misses and reports what it got.

Here: taking packets off a link, unwrapping RTX (RFC 4588), NACK, transport feedback, receiver
reports, keyframe requests when told to. What it received is judged by `StreamAudit`. Not here:
the link, the relay. Owned and driven by a `Lesson`.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from relay.media import ntp, rtcp, rtcp_build, rtcp_parse, rtp
from relay.media.nack import NackTracker
from relay.media.reception import ReceptionStats
from relay.media.seqno import Unwrapper
from relay.media.twcc import ArrivalLog
from relay.sfu.negotiated import CAMERA, SCREEN, VOICE, FecSpec, SlotCodec, SlotSpec
from relay.sfu.viewer import Viewer
from tests.fakes.flexfec import FecReceiver
from tests.fakes.lesson_publisher import CODECS
from tests.fakes.strict_receiver import Shown, StreamAudit

RING: Final = 1024
FEC_TYPE: Final = 49
REORDER_WAIT: Final = 0.02
OWN_SSRC: Final = 77


@dataclass(frozen=True, slots=True)
class Offer:
    """What a room's browser can take. types: codec → payload type; RTX is one above."""

    types: Mapping[str, int] = field(
        default_factory=lambda: {"vp8": 97, "vp9": 101, "h264": 105, "av1": 35}
    )
    extensions: Mapping[str, int] = field(
        default_factory=lambda: {rtp.TRANSPORT_CC: 5, rtp.DEPENDENCY_DESCRIPTOR: 9}
    )
    opus: int = 111
    red: int | None = None
    rtx: bool = True
    slots: tuple[str, ...] = (VOICE, CAMERA, SCREEN)
    feedback: bool = True
    fec: bool = False

    def specs(self) -> tuple[SlotSpec, ...]:
        """As the offer and its answer would settle it; SSRCs are the same for every viewer."""
        ssrcs = {VOICE: 11, CAMERA: 21, SCREEN: 31, "programme": 41}
        voice = (SlotCodec(self.opus, CODECS["opus"], None, self.red),)
        video = tuple(
            SlotCodec(number, CODECS[name], number + 1 if self.rtx else None)
            for name, number in self.types.items()
        )
        return tuple(
            SlotSpec(
                slot,
                str(index),
                "audio" if slot == VOICE else "video",
                ssrcs[slot],
                ssrcs[slot] + 1,
                voice if slot == VOICE else video,
                self.extensions,
                fec=FecSpec(FEC_TYPE, ssrcs[slot] + 2) if self.fec and slot != VOICE else None,
            )
            for index, slot in enumerate(self.slots)
        )


class FakeWire:
    """The part of a peer's transport that the core and the fan-out see."""

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self.send = send
        self.tag = 16
        self.transport_sequence = 0
        self.left: dict[bytes, int] = {}
        """By sequence number and SSRC: the transport-wide number that a packet left with."""
        self.again: set[int] = set()
        self.sent_at = array("d", bytes(8 * RING))
        self.sent_size = array("H", bytes(2 * RING))


class _Stream:
    """One SSRC: what came, by unwrapped number."""

    def __init__(self, spec: SlotSpec, offer: Offer) -> None:
        self.spec = spec
        codecs = {one.payload_type: one.codec.name for one in spec.codecs}
        if spec.kind == "audio" and offer.red is not None:
            codecs[offer.red] = "red"
        descriptor = offer.extensions.get(rtp.DEPENDENCY_DESCRIPTOR, 0)
        self.audit = StreamAudit(codecs, descriptor)
        self.unwrapper = Unwrapper(16)
        self.nack = NackTracker(reorder_wait=REORDER_WAIT)
        rate = 48_000 if spec.kind == "audio" else 90_000
        self.reception = ReceptionStats(spec.ssrc, rate)
        self.held: dict[int, tuple[bytes, float]] = {}
        self.direct: dict[int, bytes] = {}
        self.repaired = 0
        self.repeats = 0
        self.reports: list[rtcp.SenderReport] = []
        self.rtx_numbers = Unwrapper(16)
        self.rtx_seen: dict[int, bytes] = {}
        self.fec: FecReceiver | None = None
        if spec.fec is not None:
            self.fec = FecReceiver(spec.ssrc, offer.extensions.get(rtp.TRANSPORT_CC, 0))
        self.fec_packets = 0
        self.fec_seen: dict[int, bytes] = {}


class FakeViewer:
    """identity: in the router. uplink: called with each RTCP packet that it sends."""

    def __init__(self, identity: str, offer: Offer, uplink: Callable[[bytes], None]) -> None:
        self.identity = identity
        self.offer = offer
        self.slots = offer.specs()
        self.uplink = uplink
        self.streams = {spec.slot: _Stream(spec, offer) for spec in self.slots}
        self.wire: FakeWire | None = None
        self.viewer: Viewer[FakeWire] | None = None
        self.rtt = 0.1
        self.asks_again = True
        self.received = 0
        self.bytes = 0
        self.padding = 0
        """Packets of the repair streams that repair nothing."""
        self.offset = 12.5
        """Its clock is ahead by so many seconds."""
        self._by_ssrc = {spec.ssrc: self.streams[spec.slot] for spec in self.slots}
        self._by_rtx = {spec.rtx_ssrc: self.streams[spec.slot] for spec in self.slots}
        self._by_fec = {spec.fec.ssrc: self.streams[spec.slot] for spec in self.slots if spec.fec}
        self._arrivals = ArrivalLog()
        self._next_feedback = 0.0
        self._next_report = 0.0
        self._twcc = offer.extensions.get(rtp.TRANSPORT_CC, 0)

    # Receiving

    def receive(self, data: bytes, now: float) -> None:
        """One datagram from the relay."""
        if rtp.is_rtcp(data):
            for packet in rtcp_parse.parse(data):
                if isinstance(packet, rtcp.SenderReport):
                    stream = self._by_ssrc[packet.ssrc]
                    stream.reports.append(packet)
                    stream.reception.receive_sender_report(packet, now)
            return
        self.received += 1
        self.bytes += len(data)
        header = rtp.parse(data)
        if self._twcc:
            at = rtp.find_extension(data, header, self._twcc)
            assert at is not None, "a packet without its transport-wide number"
            self._arrivals.receive(struct.unpack_from("!H", data, at[0])[0], now + self.offset)
        repaired = self._by_rtx.get(header.ssrc)
        if repaired is not None:
            number = repaired.rtx_numbers.unwrap(header.sequence_number)
            start = header.payload_offset
            if header.payload_end - start < 2:
                self.padding += 1
                return
            before = repaired.rtx_seen.setdefault(number, data[start:])
            assert before == data[start:], "one RTX number for two packets"
            restored = bytearray(data[:start] + data[start + 2 :])
            restored[1] -= 1
            restored[2:4] = data[start : start + 2]
            restored[8:12] = repaired.spec.ssrc.to_bytes(4, "big")
            repaired.repaired += 1
            self._take(repaired, bytes(restored), now)
            return
        protected = self._by_fec.get(header.ssrc)
        if protected is not None:
            assert protected.fec is not None
            assert header.payload_type == FEC_TYPE
            before = protected.fec_seen.setdefault(header.sequence_number, data)
            assert before == data, "one number for two packets"
            protected.fec_packets += 1
            protected.fec.receive_repair(data)
            self._take_recovered(protected, now)
            return
        stream = self._by_ssrc[header.ssrc]
        stream.reception.receive(header.sequence_number, header.timestamp, now)
        self._take(stream, data, now, direct=True)
        if stream.fec is not None:
            stream.fec.receive_media(data)
            self._take_recovered(stream, now)

    def _take_recovered(self, stream: _Stream, now: float) -> None:
        assert stream.fec is not None
        for number in stream.fec.take_recovered():
            self._take(stream, stream.fec.media[number], now)

    def _take(self, stream: _Stream, data: bytes, now: float, *, direct: bool = False) -> None:
        sequence = struct.unpack_from("!H", data, 2)[0]
        stream.nack.receive(sequence, now)
        number = stream.unwrapper.unwrap(sequence)
        # Not one bit may differ of what comes twice by itself: it is protected under one nonce.
        if direct and stream.direct.setdefault(number, data) != data:
            stream.audit.faults.append(f"{sequence}: one nonce for two packets")
        before = stream.held.get(number)
        if before is not None:
            stream.repeats += 1
            if _without_transport(before[0], self._twcc) != _without_transport(data, self._twcc):
                stream.audit.faults.append(f"{sequence}: one number for two packets")
            return
        stream.held[number] = (data, now)

    # Sending

    def handle_timer(self, now: float) -> None:
        """Whatever is due; call every few milliseconds."""
        for stream in self.streams.values():
            if self.asks_again:
                wanted = stream.nack.handle_timer(now, self.rtt)
                if wanted:
                    self.uplink(rtcp_build.build_nack(OWN_SSRC, stream.spec.ssrc, wanted))
        if self.offer.feedback and self._twcc and now >= self._next_feedback:
            self._next_feedback = now + 0.1
            while (one := self._arrivals.build(now + self.offset, OWN_SSRC, 0)) is not None:
                self.uplink(one)
        if now >= self._next_report:
            self._next_report = now + 1.0
            blocks = [one.reception.report(now) for one in self.streams.values()]
            present = [block for block in blocks if block is not None]
            self.uplink(rtcp_build.build_rr(OWN_SSRC, present))

    def ask_picture(self, slot: str) -> None:
        """A keyframe request (RFC 4585 §6.3.1)."""
        self.uplink(rtcp_build.build_pli(OWN_SSRC, self.streams[slot].spec.ssrc))

    def ask_again(self, slot: str, sequences: list[int]) -> None:
        """A NACK by hand."""
        self.uplink(rtcp_build.build_nack(OWN_SSRC, self.streams[slot].spec.ssrc, sequences))

    # Judging

    def audit(self, slot: str, *, keep_last: int = 0) -> StreamAudit:
        """Judge what came, in order of its numbers; what was judged is forgotten."""
        stream = self.streams[slot]
        for number in sorted(stream.held)[: len(stream.held) - keep_last]:
            data, arrived = stream.held.pop(number)
            stream.direct.pop(number, None)
            stream.audit.feed(number, data, arrived)
        if not keep_last:
            stream.audit.flush()
        return stream.audit

    def shown(self, slot: str) -> list[Shown]:
        """What could be shown, in order."""
        return self.audit(slot).shown

    def capture_time(self, slot: str, timestamp: int) -> float:
        """True time at which a timestamp was captured, by the newest sender report."""
        report = self.streams[slot].reports[-1]
        rate = 48_000 if slot == VOICE else 90_000
        behind = (report.rtp_timestamp - timestamp + 0x80000000 & 0xFFFFFFFF) - 0x80000000
        return ntp.to_unix(report.ntp_raw) - behind / rate


def _without_transport(data: bytes, identifier: int) -> bytes:
    """The packet but for its transport-wide number, which a repair has anew."""
    header = rtp.parse(data)
    at = rtp.find_extension(data, header, identifier) if identifier else None
    if at is None:
        return data
    return data[: at[0]] + b"\0\0" + data[sum(at) :]
