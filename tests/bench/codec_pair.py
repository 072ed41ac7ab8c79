"""Two real browsers, one teaching and one watching, and what a codec does between them.

Lives here: connecting them over loopback, and one measurement of one codec in given
layers: first a window in which nothing but the lesson runs (rates, times, processor), then one in
which each decoded picture is taken and compared with the picture of the same number that was sent.
Must not live here: which codecs, how often, and the tables.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from playwright.async_api import async_playwright

from tests import media
from tests.bench import codec_sdp, quality
from tests.bench.codec_browser import Browser, open_browser
from tests.bench.codec_footage import lesson_file
from tests.live.rig import TEACHER_ARGUMENTS

WIDTH: Final = 1280
HEIGHT: Final = 720
RATE: Final = 15
WARM_UP_SECONDS: Final = 4.0  # the rate controller has found its level

Statistics = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer of the teacher page: its RID, lines, and limit in bit/s."""

    rid: str
    lines: int
    bitrate: int

    def encoding(self) -> dict[str, Any]:
        """As RTCRtpEncodingParameters."""
        return {
            "rid": self.rid,
            "scaleResolutionDownBy": HEIGHT // self.lines,
            "maxBitrate": self.bitrate,
            "maxFramerate": RATE,
        }


@dataclass(slots=True)
class Pair:
    """A browser that teaches and one that watches; the source's pictures."""

    teacher: Browser
    room: Browser
    source: quality.Source

    async def video(self, mime_type: str, layers: list[Layer], seconds: float) -> Statistics:
        """One measurement: `layers` by name, and the processor time of both browsers.

        Processor time is in milliseconds per second (10 is 1 % of one core).
        """
        await self._connect(mime_type, layers)
        try:
            await asyncio.sleep(WARM_UP_SECONDS)
            sent, received, cpu = await self._window(seconds)
            self.room.pictures.clear()
            await self.room.call("askKeyframes")
            await self.room.call("grab", seconds)
            weights = await self.room.call("seenKeyframes")
        finally:
            await self.teacher.call("closeAll")
            await self.room.call("closeAll")
        result: Statistics = {"layers": {}, **cpu}
        for layer in layers:
            key = layer.rid if len(layers) > 1 else "0"
            bytes_of = [one["bytes"] for one in weights if one["layer"] == key]
            result["layers"][layer.rid] = {
                # The first keyframe comes before the rate is known; the rest are those asked for.
                "keyframe_bytes": statistics.median(bytes_of[1:] or bytes_of),
                **_rates(sent[key], received[key]),
                **self._quality(self.room.pictures.get(key, []), layer.lines),
            }
        return result

    async def idle(self, seconds: float) -> Statistics:
        """The processor time of both browsers with the camera open and nothing connected."""
        return (await self._window(seconds))[2]

    async def voice(self, variants: list[tuple[int, bool]], seconds: float) -> list[Statistics]:
        """What Opus costs on the wire at each (bit/s, with redundancy), all at the same time."""
        try:
            for bitrate, redundant in variants:
                offer = await self.teacher.call("offerVoice", bitrate, redundant)
                await self.teacher.call("takeAnswer", await self.room.call("answer", offer))
            await asyncio.sleep(WARM_UP_SECONDS)
            before = await self.teacher.call("stats", ["transport"])
            await asyncio.sleep(seconds)
            after = await self.teacher.call("stats", ["transport"])
        finally:
            await self.teacher.call("closeAll")
            await self.room.call("closeAll")
        results = []
        for (bitrate, redundant), (first,), (last,) in zip(variants, before, after, strict=True):
            took = (last["timestamp"] - first["timestamp"]) / 1e3
            packets = (last["packetsSent"] - first["packetsSent"]) / took
            payload = (last["bytesSent"] - first["bytesSent"]) / took
            results.append(
                {
                    "kbit_s": bitrate // 1000,
                    "red": redundant,
                    "packets_s": packets,
                    # 28: the heads of UDP and IPv4.
                    "wire_bytes_s": payload + 28 * packets,
                }
            )
        return results

    async def _connect(self, mime_type: str, layers: list[Layer]) -> None:
        encodings = [layer.encoding() for layer in layers]
        rids = [layer.rid for layer in layers]
        offer = await self.teacher.call("offerVideo", mime_type, encodings)
        if len(layers) == 1:
            answer = await self.room.call("answer", offer)
        else:
            answer = await self.room.call("answer", codec_sdp.split_offer(offer, rids))
            answer = codec_sdp.join_answer(answer, offer, rids)
        total = sum(layer.bitrate for layer in layers) // 1000
        await self.teacher.call("takeAnswer", codec_sdp.start_at(answer, total * 5 // 4))

    async def _window(self, seconds: float) -> tuple[_States, _States, Statistics]:
        """Statistics of `seconds` of undisturbed lesson, with one keyframe, as a beat has it."""
        await self.room.call("askKeyframes")
        cpu = (self.teacher.cpu_seconds(), self.room.cpu_seconds())
        before = [await one.call("stats", _KINDS) for one in (self.teacher, self.room)]
        await asyncio.sleep(seconds)
        after = [await one.call("stats", _KINDS) for one in (self.teacher, self.room)]
        taken = {
            "teacher_cpu": (self.teacher.cpu_seconds() - cpu[0]) / seconds * 1e3,
            "room_cpu": (self.room.cpu_seconds() - cpu[1]) / seconds * 1e3,
        }
        sent, received = (_by_layer(*pair) for pair in zip(before, after, strict=True))
        return sent, received, taken

    def _quality(self, pictures: list[quality.Luma], lines: int) -> Statistics:
        scores = []
        for picture in pictures:
            number = quality.number_of(picture) if len(picture) == lines else None
            if number is not None and number < len(self.source):
                source = self.source.picture(number, picture.shape[1])
                scores.append(quality.compare(picture, source))
        values = np.array(scores or [(np.nan, np.nan)])
        psnr, ssim = values.mean(axis=0)
        return {
            "psnr": float(psnr),
            "ssim": float(ssim),
            # The worst tenth is what an eye remembers.
            "ssim_low": float(np.percentile(values[:, 1], 10)),
            "compared": len(scores),
            "unread": len(pictures) - len(scores),
        }


_KINDS: Final = ["outbound-rtp", "inbound-rtp"]
_States = dict[str, tuple[Statistics, Statistics]]


def _by_layer(before: list[list[Statistics]], after: list[list[Statistics]]) -> _States:
    """The two states of each stream by its RID (sent) or section (received, where they agree)."""
    first = {entry["id"]: entry for entries in before for entry in entries}
    return {
        entry.get("rid") or entry["mid"]: (first[entry["id"]], entry)
        for entries in after
        for entry in entries
    }


def _rates(sent: tuple[Statistics, Statistics], got: tuple[Statistics, Statistics]) -> Statistics:
    """Rates and times per frame of one layer between two moments."""
    seconds = (got[1]["timestamp"] - got[0]["timestamp"]) / 1e3
    encoded, decoded = _grown(sent, "framesEncoded"), _grown(got, "framesDecoded")
    return {
        "kbit_s": _grown(got, "bytesReceived") * 8 / 1e3 / seconds,
        "frames_s": decoded / seconds,
        "encode_ms": _grown(sent, "totalEncodeTime") / max(1, encoded) * 1e3,
        "decode_ms": _grown(got, "totalDecodeTime") / max(1, decoded) * 1e3,
        "encoder": sent[1].get("encoderImplementation", ""),
        "decoder": got[1].get("decoderImplementation", ""),
        "mode": sent[1].get("scalabilityMode", "L1T1"),
        "limited_by": sent[1].get("qualityLimitationReason", ""),
    }


def _grown(states: tuple[Statistics, Statistics], name: str) -> float:
    return float(states[1][name] - states[0].get(name, 0))


@contextlib.asynccontextmanager
async def open_pair(loop_seconds: int) -> AsyncIterator[Pair]:
    """Two browsers; the teacher's camera plays `loop_seconds` of footage over and over."""
    footage = lesson_file(WIDTH, HEIGHT, RATE, loop_seconds)
    devices = (
        *TEACHER_ARGUMENTS,
        f"--use-file-for-fake-video-capture={footage}",
        f"--use-file-for-fake-audio-capture={media.voice_file()}",
    )
    async with contextlib.AsyncExitStack() as stack:
        playwright = await stack.enter_async_context(async_playwright())
        teacher = await stack.enter_async_context(open_browser(playwright, devices))
        room = await stack.enter_async_context(open_browser(playwright))
        await teacher.call("openDevices", WIDTH, HEIGHT, RATE)
        yield Pair(teacher, room, quality.Source(footage))
