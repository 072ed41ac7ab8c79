"""One teacher or room of `archive_tree`, as a process in a network of its own.

`python -m tests.bench.archive_tree_peer teacher|room URL TOKEN` runs until its standard input ends.
A room then prints when each voice packet came and what was missing. Must not live here: links,
relays, bounds.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from typing import Any, Final

import aiohttp
from yarl import URL

from classroom.clock import monotonic
from relay.media import rtp
from relay.media.nack import NackTracker
from relay.media.rtcp_build import build_nack, build_rr
from tests.fakes import light_lesson
from tests.fakes.light_link import certificate
from tests.fakes.light_sdp import H264, OPUS, VP8, Media, offer, read_answer
from tests.fakes.peer import LightPublisher, LightViewer

RED: Final = 63
_FRAME_RATE: Final = 12
_FRAME_BYTES: Final = 700
_KEYFRAME_EVERY: Final = 96  # frames: a beat of 8 s
_KEYFRAME_PACKETS: Final = 6
_VOICE_STEP: Final = 960
_ROUND_TRIP: Final = 0.3
_ATTEMPTS: Final = 40


class Room(LightViewer):
    """Asks for what it misses and takes redundant voice, as browsers do."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.voice: dict[int, float] = {}
        """RTP timestamp → monotonic seconds of its first arrival."""
        self._missing: dict[int, NackTracker] = {}

    def sections(self) -> list[Media]:
        return [Media("audio", "recvonly", (OPUS,)), Media("video", "recvonly", (VP8, H264))]

    async def signal(self) -> None:
        fingerprint = next(
            one.value for one in certificate().getFingerprints() if one.algorithm == "sha-256"
        )
        text = offer(self.sections(), self._ufrag, self._password, fingerprint)
        text = text.replace(f"SAVPF {OPUS}\r\n", f"SAVPF {OPUS} {RED}\r\n", 1)
        text = text.replace(
            f"a=rtcp-fb:{OPUS} transport-cc",
            f"a=rtpmap:{RED} red/48000/2\r\na=fmtp:{RED} {OPUS}/{OPUS}\r\n"
            f"a=rtcp-fb:{OPUS} nack\r\na=rtcp-fb:{OPUS} transport-cc",
        )
        headers = {"Content-Type": "application/sdp", **self._headers}
        self.times["post"] = monotonic()
        for _ in range(_ATTEMPTS):
            async with self._http.post(self.url, data=text.encode(), headers=headers) as response:
                self.answer_sdp = await response.text()
                if response.status == 201:
                    self.resource = response.url.join(URL(response.headers["Location"]))
                    break
            await asyncio.sleep(0.5)  # its relay has not heard of the lesson yet
        else:
            raise ConnectionError(self.answer_sdp)
        self.answer = read_answer(self.answer_sdp)

    def receive_rtp(self, data: memoryview, now: float) -> None:
        with contextlib.suppress(rtp.RtpError):
            super().receive_rtp(data, now)  # of padding, what is encrypted is no count
        kind, sequence = data[1] & 0x7F, int.from_bytes(data[2:4], "big")
        if kind in (OPUS, RED):
            self.voice.setdefault(int.from_bytes(data[4:8], "big"), now)
        if kind in (OPUS, RED, VP8, H264):
            ssrc = int.from_bytes(data[8:12], "big")
            self._missing.setdefault(ssrc, NackTracker()).receive(sequence, now)

    async def ask_again(self) -> None:
        """Ask for what is missing, for ever."""
        while True:
            await asyncio.sleep(0.02)
            for ssrc, tracker in self._missing.items():
                wanted = tracker.handle_timer(monotonic(), _ROUND_TRIP)
                if wanted:
                    self.send_rtcp(build_rr(self.ssrc) + build_nack(self.ssrc, ssrc, wanted))

    def told(self) -> dict[str, Any]:
        """What there is to print."""
        return {
            "voice": self.voice,
            "given_up": sum(one.abandoned for one in self._missing.values()),
            "pictures": sum(
                one.packets for one in self.streams.values() if one.payload_type in (VP8, H264)
            ),
        }


async def teach(publisher: LightPublisher) -> None:
    """A voice and a small camera with a keyframe on every beat, for ever; real sound, made-up
    pictures."""
    voice = light_lesson._voice()
    began, frames, spoken = monotonic(), 0, 0
    while True:
        elapsed = monotonic() - began
        while spoken / light_lesson.VOICE_RATE <= elapsed:
            payload = voice[spoken % len(voice)]
            publisher.send(0, payload, spoken * _VOICE_STEP, marker=False)
            spoken += 1
        if frames / _FRAME_RATE <= elapsed:
            key = frames % _KEYFRAME_EVERY == 0
            packets = _KEYFRAME_PACKETS if key else 1
            timestamp = frames * (90_000 // _FRAME_RATE)
            for index in range(packets):
                publisher.send(
                    1, _slice(key, index, packets), timestamp, marker=index == packets - 1
                )
            frames += 1
        following = min(spoken / light_lesson.VOICE_RATE, frames / _FRAME_RATE)
        await asyncio.sleep(max(0.0, began + following - monotonic()))


def _slice(key: bool, index: int, packets: int) -> bytes:
    """One packet of a frame: parameter sets before a keyframe, and fragments (RFC 6184 §5.8)."""
    body = bytes(_FRAME_BYTES)
    if key and index == 0:
        sets = b"\x67\x42\xe0\x1f\x8c\x8d\x40\x50\x1e\xd0\x0f\x08\x84\x6a", b"\x68\xce\x3c\x80"
        return b"\x78" + b"".join(len(one).to_bytes(2, "big") + one for one in sets)
    if not key:
        return b"\x41\x9a" + body
    flags = (0x80 if index == 1 else 0) | (0x40 if index == packets - 1 else 0)
    return bytes((0x7C, flags | 5, 0x88)) + body


async def main(role: str, url: str, token: str) -> None:
    """Take part until standard input ends."""
    loop = asyncio.get_running_loop()
    async with aiohttp.ClientSession() as http:
        peer: Room | LightPublisher
        peer = LightPublisher(http, url, token) if role == "teacher" else Room(http, url, token)
        await peer.connect()
        print("ready", flush=True)
        work = teach(peer) if isinstance(peer, LightPublisher) else peer.ask_again()
        task = asyncio.ensure_future(work)
        await loop.run_in_executor(None, sys.stdin.read)
        task.cancel()
        if isinstance(peer, Room):
            print(json.dumps(peer.told()), flush=True)
        await peer.leave()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
