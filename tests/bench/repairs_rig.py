"""A relay's media side that loses packets, and a teacher, for `python -m tests.bench repairs`.

Lives here: a fan-out that loses by chance what leaves to each wire and follows protected pictures
with repair packets; encoded speech and pictures fed to a router at their pace. Must not live here:
browsers, figures.
"""

from __future__ import annotations

import asyncio
import functools
import random
import struct
from collections.abc import Sequence
from fractions import Fraction
from itertools import product
from typing import Final

import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.codec.context import CodecContext

from relay.media import fec, rtp
from relay.media.codec import OPUS, VP8
from relay.media_process import relay_clock
from relay.sfu.leg import Leg
from relay.sfu.negotiated import CAMERA, VOICE, TrackSpec
from relay.sfu.packet import patch_picture
from relay.sfu.router import Router
from relay.sfu.sink import Run
from relay.transport.fanout import NativeFanOut
from relay.transport.wire import Wire
from tests import media
from tests.fakes.rtp_media import encode_video, payloads

OPUS_TYPE, VP8_TYPE = 111, 96
VOICE_SSRC, CAMERA_SSRC = 1_001, 2_001
PICTURES: Final = 15  # a second


class LossyFanOut:
    """Sends as `NativeFanOut`, but what leaves to a wire is lost by chance, repairs included."""

    def __init__(self, native: NativeFanOut, loss: float, seed: int) -> None:
        self._native = native
        self._loss = loss
        self._seed = random.Random(seed)
        self.logs = native.logs
        self.protected: dict[Leg[Wire], fec.FecEncoder] = {}

    def fan_out(self, runs: Sequence[Run[Wire]], now: float) -> None:
        for run, legs in runs:
            for leg, packet in product(legs, run):
                data = bytearray(packet.data)
                sequence = packet.sequence + leg.sequence_offset
                timestamp = packet.timestamp + leg.timestamp_offset
                struct.pack_into("!HI", data, 2, sequence & 0xFFFF, timestamp & 0xFFFFFFFF)
                if packet.picture_offset:
                    patch_picture(data, 0, packet, leg.picture_offset, leg.tl0_offset)
                made = self.protected.get(leg)
                repairs = made.push(data, packet.twcc_offset, now) if made is not None else []
                self.send_rtp(leg.wire, data, packet.twcc_offset, now, again=False)
                for repair in repairs:
                    assert made is not None
                    self.send_rtp(leg.wire, repair, made.twcc_offset, now)

    def send_rtp(
        self,
        wire: Wire,
        packet: bytearray,
        twcc_offset: int,
        now: float,
        *,
        again: bool | None = None,
    ) -> None:
        if self._seed.random() < self._loss:
            if twcc_offset and not again:
                number = self.logs.sent_one(wire.row, len(packet) + wire.tag, now)
                own = int.from_bytes(packet[8:12]) << 16 | int.from_bytes(packet[2:4])
                self.logs.keep_one(wire.row, own, number)
            return
        self._native.send_rtp(wire, packet, twcc_offset, now, again=again)

    def send_rtcp(self, wire: Wire, packet: bytes) -> None:
        self._native.send_rtcp(wire, packet)


@functools.cache
def speech(bitrate: int = 24_000, milliseconds: int = 20) -> tuple[bytes, ...]:
    """The test speech as Opus packets, without in-band FEC."""
    encoder = CodecContext.create("libopus", "w")
    assert isinstance(encoder, AudioCodecContext)
    encoder.sample_rate, encoder.bit_rate = media.VOICE_RATE, bitrate
    encoder.layout, encoder.format = "mono", "s16"
    encoder.options = {"application": "voip", "frame_duration": str(milliseconds)}
    size = media.VOICE_RATE * milliseconds // 1000
    samples = (media.voice_samples() * 32767).astype(np.int16)
    out: list[bytes] = []
    for number in range(len(samples) // size):
        piece = samples[number * size : (number + 1) * size][None, :]
        frame = AudioFrame.from_ndarray(piece, format="s16", layout="mono")
        frame.sample_rate, frame.pts = media.VOICE_RATE, number * size
        frame.time_base = Fraction(1, media.VOICE_RATE)
        out += [bytes(packet) for packet in encoder.encode(frame)]
    return tuple(out)


class Teacher:
    """Feeds a router with the speech and pictures in a loop, at their pace."""

    def __init__(self, router: Router[Wire]) -> None:
        self._router = router
        tracks = [
            TrackSpec(VOICE, "0", "audio", {OPUS_TYPE: OPUS}, ssrcs=(VOICE_SSRC,), nack=False),
            TrackSpec(CAMERA, "1", "video", {VP8_TYPE: VP8}, ssrcs=(CAMERA_SSRC,)),
        ]
        router.publish("teacher", "teacher", tracks, relay_clock())
        self._sequences = {VOICE_SSRC: 1_000, CAMERA_SSRC: 5_000}

    async def run(self) -> None:
        """Until cancelled."""
        voice = speech()
        pictures = encode_video("vp8", PICTURES * 8, PICTURES * 4, 640, 360, PICTURES)
        began = relay_clock()
        spoken = shown = 0
        while True:
            now = relay_clock()
            while now - began >= spoken * 0.02:
                frame = voice[spoken % len(voice)]
                self._send(OPUS_TYPE, VOICE_SSRC, spoken * 960, frame, False, now)
                spoken += 1
            while now - began >= shown / PICTURES:
                parts = payloads("vp8", pictures[shown % len(pictures)])
                for index, part in enumerate(parts):
                    last = index == len(parts) - 1
                    self._send(VP8_TYPE, CAMERA_SSRC, shown * 6_000, part, last, now)
                shown += 1
            self._router.flush(now)
            self._router.handle_timer(now)
            await asyncio.sleep(0.004)

    def _send(
        self, kind: int, ssrc: int, timestamp: int, payload: bytes, marker: bool, now: float
    ) -> None:
        number = self._sequences[ssrc]
        self._sequences[ssrc] = (number + 1) & 0xFFFF
        self._router.receive_rtp(
            rtp.build(kind, marker, number, timestamp, ssrc, b"", payload), now
        )
