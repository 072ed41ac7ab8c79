"""Light viewers and publishers: real WHEP and WHIP peers that do not decode, for load and tests.

Lives here: `LightViewer` (counts what arrives, reports as a browser does) and `LightPublisher`
(sends the RTP it is given). Must not live here: sockets and handshakes (`light_link`), SDP text.

A viewer reads sequence numbers and transport-wide numbers from the packet as it came, since SRTP
leaves the header and its extensions in clear (RFC 3711 3.1); it decrypts only where asked to.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import aiohttp
import pylibsrtp

from classroom.clock import monotonic, wall
from relay.media import ntp, rtcp_parse, rtp
from relay.media.reception import ReceptionStats
from relay.media.rtcp import Nack, Packet, Pli, SenderReport
from relay.media.rtcp_build import build_nack, build_pli, build_rr, build_sr
from relay.media.rtcp_error import RtcpError
from relay.media.twcc import ArrivalLog
from tests.fakes.light_link import LightLink, random_ssrc
from tests.fakes.light_sdp import (
    CLOCK_RATES,
    EXTENSIONS,
    H264,
    OPUS,
    VP8,
    VP9,
    Media,
)

RR_INTERVAL_S: Final = 1.0
TWCC_INTERVAL_S: Final = 0.1
_TWCC_ID: Final = EXTENSIONS[rtp.TRANSPORT_CC]
_MID_ID: Final = EXTENSIONS[rtp.MID]
_HEAD: Final = struct.Struct("!BBHII")


@dataclass(slots=True)
class Received:
    """What came of one SSRC."""

    payload_type: int
    stats: ReceptionStats
    first_at: float
    last_at: float
    packets: int = 0
    bytes: int = 0
    sequence_numbers: list[int] = field(default_factory=list)
    """Filled only when the viewer keeps them."""


class LightViewer(LightLink):
    """A WHEP player of `len(kinds)` sections that counts packets."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        url: str,
        token: str | None = None,
        *,
        kinds: tuple[str, ...] = ("audio", "video"),
        reports: bool = True,
        feedback: bool = True,
        keep_numbers: bool = False,
        on_packet: Callable[[bytes, float], None] | None = None,
    ) -> None:
        """`reports`: receiver reports each second; `feedback`: transport-wide each 100 ms.

        `on_packet(packet, now)` gets each RTP packet decrypted; without it nothing is decrypted.
        """
        super().__init__(http, url, token)
        self.streams: dict[int, Received] = {}
        self.sender_reports: dict[int, SenderReport] = {}
        self.ssrc = random_ssrc()
        self._kinds = kinds
        self._reports = reports
        self._feedback = feedback
        self._keep_numbers = keep_numbers
        self._on_packet = on_packet
        self._arrivals = ArrivalLog()
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def sections(self) -> list[Media]:
        codecs = {"audio": (OPUS,), "video": (VP8, VP9, H264)}
        return [Media(kind, "recvonly", codecs[kind]) for kind in self._kinds]

    @property
    def packets(self) -> int:
        """All RTP packets received."""
        return sum(stream.packets for stream in self.streams.values())

    def established(self) -> None:
        if self._reports:
            self._report()
        if self._feedback:
            self._send_feedback()

    def receive_rtp(self, data: memoryview, now: float) -> None:
        _, second, sequence, timestamp, ssrc = _HEAD.unpack_from(data)
        stream = self.streams.get(ssrc)
        if stream is None:
            payload_type = second & 0x7F
            rate = CLOCK_RATES.get(payload_type, 90_000)
            stream = Received(payload_type, ReceptionStats(ssrc, rate), now, now)
            self.streams[ssrc] = stream
            self.times.setdefault("first", now)
        stream.packets += 1
        stream.bytes += len(data)
        stream.last_at = now
        stream.stats.receive(sequence, timestamp, now, len(data))
        if self._keep_numbers:
            stream.sequence_numbers.append(sequence)
        if self._feedback:
            number = _transport_number(data)
            if number is not None:
                self._arrivals.receive(number, now)
        if self._on_packet is not None:
            # A port that the system gives out again may still get a former owner's packets.
            with contextlib.suppress(pylibsrtp.Error):
                self._on_packet(self.unprotect(data), now)

    def receive_rtcp(self, data: bytes, now: float) -> None:
        for packet in _packets(data):
            if isinstance(packet, SenderReport):
                self.sender_reports[packet.ssrc] = packet
                stream = self.streams.get(packet.ssrc)
                if stream is not None:
                    stream.stats.receive_sender_report(packet, now)

    def request_keyframe(self, ssrc: int) -> None:
        """A picture loss indication."""
        self.send_rtcp(build_rr(self.ssrc) + build_pli(self.ssrc, ssrc))

    def request_again(self, ssrc: int, sequence_numbers: list[int]) -> None:
        """A generic NACK."""
        self.send_rtcp(build_rr(self.ssrc) + build_nack(self.ssrc, ssrc, sequence_numbers))

    async def vanish(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        await super().vanish()

    def _report(self) -> None:
        now = monotonic()
        blocks = [stream.stats.report(now) for stream in self.streams.values()]
        self.send_rtcp(build_rr(self.ssrc, [block for block in blocks if block is not None]))
        self._timers["rr"] = self._loop.call_later(RR_INTERVAL_S, self._report)

    def _send_feedback(self) -> None:
        media = next(iter(self.streams), 0)
        while (packet := self._arrivals.build(monotonic(), self.ssrc, media)) is not None:
            self.send_rtcp(packet)
        self._timers["twcc"] = self._loop.call_later(TWCC_INTERVAL_S, self._send_feedback)


class LightPublisher(LightLink):
    """A WHIP client with one voice and one video track that sends what it is given."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        url: str,
        token: str | None = None,
        *,
        video: int | None = H264,
        screen: bool = False,
    ) -> None:
        """`video`: its payload type (see light_sdp), None for a voice alone."""
        super().__init__(http, url, token)
        count = 1 + (video is not None) + screen
        self.ssrcs = [random_ssrc() for _ in range(count)]
        """By m-line: voice, camera, screen."""
        self.keyframe_requests = 0
        self.nacked: list[int] = []
        self.feedback: list[Packet] = []
        self._video = video
        self._sent = [0] * count
        self._octets = [0] * count
        self._sequence = [0] * count
        self._last: list[tuple[int, float]] = [(0, 0.0)] * count
        self._wide = 0
        self._timer: asyncio.TimerHandle | None = None

    def sections(self) -> list[Media]:
        media = [Media("audio", "sendonly", (OPUS,), self.ssrcs[0])]
        if self._video is not None:
            video = (self._video,)
            media += [Media("video", "sendonly", video, ssrc) for ssrc in self.ssrcs[1:]]
        return media

    def established(self) -> None:
        self._sender_reports()

    def send(self, index: int, payload: bytes, timestamp: int, *, marker: bool) -> None:
        """Send `payload` on m-line `index` with the extensions a browser adds."""
        payload_type = OPUS if index == 0 else self._video
        assert payload_type is not None
        extensions = rtp.build_extension_block(
            [(_MID_ID, str(index).encode()), (_TWCC_ID, self._wide.to_bytes(2, "big"))]
        )
        packet = rtp.build(
            payload_type,
            marker,
            self._sequence[index],
            timestamp,
            self.ssrcs[index],
            extensions,
            payload,
        )
        self._sequence[index] = self._sequence[index] + 1 & 0xFFFF
        self._wide = self._wide + 1 & 0xFFFF
        self._sent[index] += 1
        self._octets[index] += len(payload)
        self._last[index] = (timestamp, wall())
        self.send_rtp(packet)

    @property
    def sent(self) -> list[int]:
        """Packets sent, by m-line."""
        return list(self._sent)

    def receive_rtcp(self, data: bytes, now: float) -> None:
        for packet in _packets(data):
            if isinstance(packet, Pli):
                self.keyframe_requests += 1
            elif isinstance(packet, Nack):
                self.nacked += packet.seqs
            else:
                self.feedback.append(packet)
                del self.feedback[:-100]

    async def vanish(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await super().vanish()

    def _sender_reports(self) -> None:
        for index, ssrc in enumerate(self.ssrcs):
            timestamp, at = self._last[index]
            if at:
                self.send_rtcp(
                    build_sr(
                        ssrc,
                        ntp.from_unix(at),
                        timestamp,
                        self._sent[index],
                        self._octets[index],
                    )
                )
        self._timer = self._loop.call_later(1.0, self._sender_reports)


def _transport_number(data: memoryview) -> int | None:
    """The transport-wide sequence number; the common layout is looked at first, for speed."""
    # Twelve bytes of header, no sources, one-byte extensions, ours first (RFC 8285 4.2).
    if data[0] == 0x90 and data[12] == 0xBE and data[16] == _TWCC_ID << 4 | 1:
        return data[17] << 8 | data[18]
    found = rtp.find_extension(data, rtp.parse(data), _TWCC_ID)
    return None if found is None else data[found[0]] << 8 | data[found[0] + 1]


def _packets(data: bytes) -> list[Packet]:
    try:
        return rtcp_parse.parse(data)
    except RtcpError:
        return []
