"""A small, exact lesson for the light publisher: the same packets every time, ready to send.

Lives here: H.264 in bursts of four packets of 1,000 bytes, 15 bursts and 50 voice packets a
second, real enough to record and play, and the send time hidden in each burst's last packet.
Must not live here: sockets. The picture is coded once; sending it costs no CPU worth measuring.

Packets are filled up with filler data units (H.264 7.3.2.7, type 12), aggregated by STAP-A
(RFC 6184 5.7.1), which every decoder ignores.
"""

from __future__ import annotations

import asyncio
import struct
import time as system_time
from collections.abc import Iterator
from typing import Final

from classroom.clock import monotonic
from classroom.host.encoders import VideoEncoder, VoiceEncoder
from classroom.host.test_lesson import CameraPicture, sound
from tests.fakes.peer import LightPublisher

FRAME_RATE: Final = 15
PACKETS_PER_FRAME: Final = 4
PAYLOAD: Final = 1_000
LOOP_FRAMES: Final = 60  # one keyframe every 4 s
VOICE_RATE: Final = 50
STAMP: Final = struct.Struct("!8sd")
STAMP_MARK: Final = b"sent-at:"
_FU_A: Final = 28
_STAP_A: Final = 24
_FILLER: Final = 12


class LightLesson:
    """Packets of one camera and one voice, and the task that sends them in time."""

    def __init__(self, publisher: LightPublisher) -> None:
        self._publisher = publisher
        self._frames = _frames()
        self._voice = _voice()
        self.frames_sent = 0
        self.voice_sent = 0
        self.keyframes_sent = 0
        self.paused = False
        """While True nothing is sent and the lesson's own time stands still."""

    async def run(self, seconds: float) -> None:
        """Send for `seconds`; a keyframe request restarts the picture's loop."""
        began = monotonic()
        position = 0
        answered = self._publisher.keyframe_requests
        while (elapsed := monotonic() - began) < seconds:
            if self.paused:
                stopped = monotonic()
                await asyncio.sleep(0.01)
                began += monotonic() - stopped
                continue
            while self.voice_sent / VOICE_RATE <= elapsed:
                payload = self._voice[self.voice_sent % len(self._voice)]
                self._publisher.send(0, payload, self.voice_sent * 960, marker=False)
                self.voice_sent += 1
            if self.frames_sent / FRAME_RATE <= elapsed:
                if self._publisher.keyframe_requests != answered:
                    answered, position = self._publisher.keyframe_requests, 0
                self._send_frame(position)
                self.keyframes_sent += position == 0
                position = (position + 1) % LOOP_FRAMES
            following = min(self.voice_sent / VOICE_RATE, self.frames_sent / FRAME_RATE)
            await asyncio.sleep(max(0.0, began + following - monotonic()))

    def _send_frame(self, position: int) -> None:
        payloads = self._frames[position]
        timestamp = self.frames_sent * (90_000 // FRAME_RATE)
        for payload in payloads[:-1]:
            self._publisher.send(1, payload, timestamp, marker=False)
        last = payloads[-1]
        stamp = STAMP.pack(STAMP_MARK, system_time.monotonic())
        stamped = last[: -STAMP.size] + stamp
        self._publisher.send(1, stamped, timestamp, marker=True)
        self.frames_sent += 1


def sent_at(packet: bytes) -> float | None:
    """Monotonic time at which a decrypted packet was sent, if it carries one (seconds)."""
    if packet[-STAMP.size : -8] != STAMP_MARK:
        return None
    moment: float = STAMP.unpack(packet[-STAMP.size :])[1]
    return moment


def _voice() -> list[bytes]:
    encoder = VoiceEncoder(24_000)
    pieces = [piece for block in range(500) for piece in encoder.encode(sound(block), block / 50)]
    return [piece.data for piece in pieces]


def _frames() -> list[list[bytes]]:
    """Per frame its RTP payloads, the last one with room for the stamp."""
    encoder = VideoEncoder("h264", 120_000, (320, 180))
    picture = CameraPicture(320, 180, "light")
    frames: list[list[bytes]] = []
    for number in range(LOOP_FRAMES):
        # One keyframe only: times within the encoder's own keyframe rhythm.
        time = number / FRAME_RATE * 0.9
        coded = b"".join(
            piece.data for piece in encoder.encode(picture.draw(number, time, 0), time)
        )
        payloads = [payload for unit in _units(coded) for payload in _split(unit)]
        missing = max(1, PACKETS_PER_FRAME - len(payloads))
        payloads += [_filled(b"")] * missing
        frames.append(payloads)
    return frames


def _units(coded: bytes) -> Iterator[bytes]:
    for part in coded.split(b"\x00\x00\x01"):
        unit = part.rstrip(b"\x00")
        # Supplemental information (type 6) is the encoder's greeting; it would be a packet each.
        if unit and unit[0] & 31 != 6:
            yield unit


def _split(unit: bytes) -> Iterator[bytes]:
    if len(unit) <= PAYLOAD - 64:
        yield _filled(unit)
        return
    indicator = unit[0] & 0xE0 | _FU_A
    room = PAYLOAD - 2
    pieces = [unit[at : at + room] for at in range(1, len(unit), room)]
    for index, piece in enumerate(pieces):
        flags = (index == 0) << 7 | (index == len(pieces) - 1) << 6
        yield bytes([indicator, flags | unit[0] & 31]) + piece


def _filled(unit: bytes) -> bytes:
    """`unit` (or nothing) and filler data in one aggregate of exactly PAYLOAD bytes."""
    head = bytes([_STAP_A | 0x60])
    first = struct.pack("!H", len(unit)) + unit if unit else b""
    filler = PAYLOAD - len(head) - len(first) - 2
    return head + first + struct.pack("!H", filler) + bytes([_FILLER]) + b"\xff" * (filler - 1)
