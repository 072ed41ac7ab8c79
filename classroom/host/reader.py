"""Files, streams and capture devices: packets copied where they can be sent, else coded anew.

Lives here: opening with PyAV, choosing between copy and coding, looping a file, and opening a
live source again when it went away. Must not live here: codec settings (`encoders`), sending.

Copied: Opus; H.264 without B-frames, 4:2:0; VP8; each only with a keyframe at least every 8 s,
since a recording is cut and a room joins at keyframes. RFC 7742 and RFC 7874 name these codecs.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Stream
from av.video.stream import VideoStream

from classroom.clock import monotonic
from classroom.errors import Misuse
from classroom.host.encoders import VideoEncoder, VoiceEncoder
from classroom.host.faults import no_picture, no_sound, sentence
from classroom.host.outlet import Codec, Name, Outlet, Piece
from classroom.host.sources import SCREEN_MAX, Address, Options, Source

log = logging.getLogger(__name__)

KEYFRAME_GAP_MAX_S: Final = 8.0
PROBE_S: Final = 24.0  # how much of a file is looked at for its keyframe rhythm: three beats
OPEN_TIMEOUT_S: Final = 10.0
READ_TIMEOUT_S: Final = 10.0
RETRY_FIRST_S: Final = 1.0
RETRY_MOST_S: Final = 15.0
_LACKING: Final = (errno.EINVAL, errno.EIO)  # v4l2 and alsa
BUSY_WAIT_S: Final = 0.01  # a capture device with nothing ready says EAGAIN

AnyPacket: TypeAlias = "av.Packet[Stream]"  # quoted: generic for the type checker only
Handler: TypeAlias = "Callable[[AnyPacket, float], list[Piece]]"


@dataclass(slots=True)
class _Lane:
    """One stream of the container on its way to an outlet."""

    outlet: Outlet
    handle: Handler
    copied: bool
    last_time: float = float("-inf")


class MediaSource(Source):
    """A file, stream or device opened with PyAV. Construction opens it and may raise Misuse."""

    def __init__(
        self, address: Address, options: Options, *, voice: bool, picture: Name | None
    ) -> None:
        """`voice`: its sound is wanted. `picture`: what its video is ("camera", "screen", None)."""
        self._address = address
        self._options = options
        self._device = address.kind in ("camera-device", "sound-device")
        self._container = self._open()
        live = self._device or self._container.duration is None
        super().__init__(address.shown, live=live)
        self._lanes: dict[int, _Lane] = {}
        self._encoders: dict[Name, VoiceEncoder | VideoEncoder] = {}
        video = next(iter(_pictures(self._container)), None)
        sound = next(iter(self._container.streams.audio), None)
        if picture is not None and video is None and address.kind != "sound-device":
            raise Misuse(no_picture(self.shown, picture))
        if voice and sound is None:
            raise Misuse(no_sound(self.shown))
        if voice and sound is not None:
            self._add_voice(sound)
        if picture is not None and video is not None:
            self._add_picture(video, picture)
        if not self._lanes:
            raise Misuse(f"{self.shown} has nothing that could be published.")

    def describe(self) -> str:
        """For the log: each track, its codec, and whether it is copied."""
        return ", ".join(
            f"{lane.outlet.name} {lane.outlet.codec} ({'copied' if lane.copied else 'coded'})"
            for lane in self._lanes.values()
        )

    def _open(self) -> InputContainer:
        shown = self._address.shown
        tries = [_device_options(self._address, self._options)] if self._device else []
        if self._address.target.startswith("rtsp"):
            tries.append({"rtsp_transport": "tcp"})  # UDP is often blocked, and loses pictures
        for options in [*tries, {}]:
            try:
                return av.open(
                    self._address.target,
                    format=self._address.format,
                    options=options,
                    timeout=(OPEN_TIMEOUT_S, READ_TIMEOUT_S),
                )
            except (av.FFmpegError, OSError, ValueError) as error:
                # A device that lacks the wished size or channels refuses; its default may do.
                if options and isinstance(error, av.FFmpegError) and error.errno in _LACKING:
                    continue
                raise Misuse(sentence(error, shown, device=self._device)) from error
        raise Misuse(f"{shown} cannot be read.")

    def _add_voice(self, stream: AudioStream) -> None:
        context = stream.codec_context
        outlet = Outlet("voice", "opus", live=self.live)
        copied = context.name in ("opus", "libopus") and context.channels <= 2
        handle: Handler = _copy
        if not copied:
            encoder = VoiceEncoder(self._options.voice_bit_rate)
            handle = _voice_handler(encoder)
        self._add(stream.index, _Lane(outlet, handle, copied))

    def _add_picture(self, stream: VideoStream, name: Name) -> None:
        largest = self._options.size if name == "camera" else SCREEN_MAX
        codec = _sendable(stream, largest)
        if codec is not None and not self._keyframes_are_frequent(stream):
            log.info("host.recode source=%s reason=keyframes-too-rare", self.shown)
            codec = None
        if codec is not None:
            handle = _copy if codec == "vp8" else _annex_b(stream)
            self._add(stream.index, _Lane(Outlet(name, codec, live=self.live), handle, True))
            return
        screen = name == "screen"
        rate = self._options.screen_bit_rate if screen else self._options.video_bit_rate
        encoder = VideoEncoder(self._options.video_codec, rate, largest, sharp=screen)
        outlet = Outlet(name, self._options.video_codec, live=self.live)
        outlet.request_keyframe = encoder.request_keyframe
        stream.thread_type = "AUTO" if not self.live else "SLICE"
        self._add(stream.index, _Lane(outlet, _picture_handler(encoder), False))

    def _add(self, index: int, lane: _Lane) -> None:
        self._lanes[index] = lane
        self.outlets.append(lane.outlet)

    def _keyframes_are_frequent(self, stream: VideoStream) -> bool:
        """Look ahead for gaps over 8 s; then be at the start again."""
        first: float | None = None
        last_key = now = 0.0
        frequent = True
        until = KEYFRAME_GAP_MAX_S + 0.5 if self.live else PROBE_S
        try:
            for packet in self._container.demux(stream):
                if packet.pts is None or packet.time_base is None:
                    continue
                now = float(packet.pts * packet.time_base)
                if first is None:
                    first = last_key = now
                if now - last_key > KEYFRAME_GAP_MAX_S:
                    frequent = False
                    break
                if packet.is_keyframe:
                    last_key = now
                if now - first > until:
                    break
            if not self.live:
                self._container.seek(0)
        except av.FFmpegError as error:
            raise Misuse(sentence(error, self.shown, device=self._device)) from error
        return frequent

    def _produce(self) -> None:
        offset = 0.0
        retry = RETRY_FIRST_S
        while not self._stopping.is_set():
            began = monotonic()
            try:
                played = self._play(offset)
                fault = "it ended"
            except (av.FFmpegError, OSError) as error:
                if not self.live:
                    raise Misuse(sentence(error, self.shown, device=self._device)) from error
                fault = sentence(error, self.shown, device=self._device)
                played = monotonic() - began
            if not self.live:
                if not self._options.loop or self._stopping.is_set():
                    return
                offset += played
                self._container.seek(0)
                continue
            offset += monotonic() - began
            log.warning("host.source-lost source=%s reason=%s", self.shown, fault)
            while not self._stopping.wait(retry):
                offset += retry
                retry = min(2 * retry, RETRY_MOST_S)
                if self._reopen():
                    retry = RETRY_FIRST_S
                    break

    def _reopen(self) -> bool:
        self._container.close()
        try:
            self._container = self._open()
        except Misuse:
            return False
        # The lanes know streams by number; a camera that came back has the same ones.
        return all(index < len(self._container.streams) for index in self._lanes)

    def _play(self, offset: float) -> float:
        """Send the container once through, times shifted by `offset`; returns its length in s."""
        container = self._container
        streams = [container.streams[index] for index in self._lanes]
        zero: float | None = None
        end = 0.0
        while not self._stopping.is_set():
            try:
                for packet in container.demux(*streams):
                    if self._stopping.is_set():
                        return end
                    time = _time_of(packet)
                    if time is not None:
                        zero = time if zero is None else zero
                        time -= zero
                        end = max(end, time + _duration_of(packet))
                    self._send(packet, end if time is None else time, offset)
                return end
            except av.error.BlockingIOError as error:
                if error.errno != errno.EAGAIN:
                    raise
                self._stopping.wait(BUSY_WAIT_S)
        return end

    def _send(self, packet: AnyPacket, time: float, offset: float) -> None:
        lane = self._lanes[packet.stream.index]
        try:
            pieces = lane.handle(packet, time + offset)
        except av.error.InvalidDataError:
            # One damaged packet costs a picture or 20 ms of voice, not the lesson.
            log.debug("host.damaged-packet source=%s", self.shown)
            return
        for piece in pieces:
            if piece.time >= lane.last_time:
                lane.last_time = piece.time
                lane.outlet.put(piece)


def _pictures(container: InputContainer) -> list[VideoStream]:
    """Video streams that move: not the cover picture of a sound file."""
    still = av.stream.Disposition.attached_pic
    return [stream for stream in container.streams.video if not stream.disposition & still]


def _sendable(stream: VideoStream, largest: tuple[int, int]) -> Codec | None:
    """The codec under which `stream` can be sent as it is, or None."""
    context = stream.codec_context
    if context.pix_fmt not in ("yuv420p", "yuvj420p"):
        return None
    if context.width > largest[0] or context.height > largest[1]:
        return None
    if context.name in ("h264", "libx264") and not context.has_b_frames:
        return "h264"
    return "vp8" if context.name in ("vp8", "libvpx") else None


def _device_options(address: Address, options: Options) -> dict[str, str]:
    if address.kind == "sound-device":
        return {"channels": "1"}  # ffmpeg asks for two, and a microphone has one
    width, height = options.size
    return {"video_size": f"{width}x{height}", "framerate": f"{options.rate:g}"}


def _time_of(packet: AnyPacket) -> float | None:
    if packet.pts is None or packet.time_base is None:
        return None
    return float(packet.pts * packet.time_base)


def _duration_of(packet: AnyPacket) -> float:
    return float((packet.duration or 0) * packet.time_base)


def _copy(packet: AnyPacket, time: float) -> list[Piece]:
    if not packet.size:
        return []
    return [Piece(bytes(packet), time, packet.is_keyframe)]


def _annex_b(stream: VideoStream) -> Handler:
    """H.264 with start codes, its parameter sets before each keyframe (RFC 6184, 8.2.2)."""
    filters = av.BitStreamFilterContext("h264_mp4toannexb,dump_extra=freq=keyframe", stream)

    def handle(packet: AnyPacket, time: float) -> list[Piece]:
        if not packet.size:
            return []
        return [Piece(bytes(out), time, out.is_keyframe) for out in filters.filter(packet)]

    return handle


def _voice_handler(encoder: VoiceEncoder) -> Handler:
    def handle(packet: AnyPacket, time: float) -> list[Piece]:
        pieces: list[Piece] = []
        for frame in packet.decode():
            if isinstance(frame, av.AudioFrame):
                pieces += encoder.encode(frame, time)
                time += frame.samples / frame.sample_rate
        return pieces

    return handle


def _picture_handler(encoder: VideoEncoder) -> Handler:
    def handle(packet: AnyPacket, time: float) -> list[Piece]:
        pieces: list[Piece] = []
        came = _time_of(packet)
        for frame in packet.decode():
            if isinstance(frame, av.VideoFrame):
                # With B-frames a packet gives an earlier picture than its own.
                shift = 0.0 if came is None or frame.time is None else frame.time - came
                pieces += encoder.encode(frame, time + shift)
        return pieces

    return handle
