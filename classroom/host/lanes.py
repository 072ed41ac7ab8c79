"""One stream of a container on its way to an outlet: packets copied, or decoded and coded anew.

Lives here: `Looks` (what a stream is coded as), whether it can be copied, and the handlers from
packets to pieces. Must not live here: opening and reading containers (`reader`), codec settings
(`encoders`). Copied: Opus; H.264 without B-frames, 4:2:0; VP8 (RFC 7742 and RFC 7874).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias, cast

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Stream
from av.video.stream import VideoStream

from classroom.host.encoders import VideoEncoder, VoiceEncoder
from classroom.host.outlet import Codec, Outlet, Piece

AnyPacket: TypeAlias = "av.Packet[Stream]"  # quoted: generic for the type checker only
Handler: TypeAlias = "Callable[[AnyPacket, float], list[Piece]]"


@dataclass(frozen=True, slots=True)
class Looks:
    """What a stream is coded as. A stream that came back and looks the same can be read on.

    codec: ffmpeg's name. form: size and pixel format, or rate and channels. extra: parameter sets
    and the like, which a decoder needs before the first packet.
    """

    codec: str
    form: str
    extra: bytes

    def __str__(self) -> str:
        return f"{self.codec} {self.form}"


def looks(stream: VideoStream | AudioStream) -> Looks | None:
    """What `stream` is coded as; None if nothing here can decode it."""
    # PyAV's types leave out that ffmpeg may know no decoder; then there is no context.
    if cast("object | None", stream.codec_context) is None:
        return None
    context = stream.codec_context
    if isinstance(stream, VideoStream):
        video = stream.codec_context
        form = f"{video.width}x{video.height} {video.pix_fmt}"
    else:
        audio = stream.codec_context
        form = f"{audio.sample_rate} Hz {audio.channels} channels"
    return Looks(context.name, form, bytes(context.extradata or b""))


@dataclass(slots=True)
class Lane:
    """One stream of the container on its way to an outlet.

    last_time: of the newest piece, s. awaits_key: leave pieces out until a keyframe comes.
    """

    outlet: Outlet
    looks: Looks
    handle: Handler
    copied: bool
    last_time: float = float("-inf")
    awaits_key: bool = False

    def send(self, packet: AnyPacket, time: float) -> None:
        """Hand on what `packet` makes, `time` seconds into the source. Raises FFmpegError."""
        for piece in self.handle(packet, time):
            if piece.time < self.last_time or (self.awaits_key and not piece.keyframe):
                continue
            self.awaits_key = False
            self.last_time = piece.time
            self.outlet.put(piece)


def pictures(container: InputContainer) -> list[VideoStream]:
    """Video streams that move: not the cover picture of a sound file."""
    still = av.stream.Disposition.attached_pic
    return [stream for stream in container.streams.video if not stream.disposition & still]


def sendable(stream: VideoStream, largest: tuple[int, int]) -> Codec | None:
    """The codec under which `stream` can be sent as it is, or None."""
    context = stream.codec_context
    if context.pix_fmt not in ("yuv420p", "yuvj420p"):
        return None
    if context.width > largest[0] or context.height > largest[1]:
        return None
    if context.name in ("h264", "libx264") and not context.has_b_frames:
        return "h264"
    return "vp8" if context.name in ("vp8", "libvpx") else None


def voice_is_sendable(stream: AudioStream) -> bool:
    """Whether the sound of `stream` can be sent as it is."""
    context = stream.codec_context
    return context.name in ("opus", "libopus") and context.channels <= 2


def time_of(packet: AnyPacket) -> float | None:
    """When `packet` is shown, in s of its container; None if it does not say."""
    if packet.pts is None or packet.time_base is None:
        return None
    return float(packet.pts * packet.time_base)


def copy(packet: AnyPacket, time: float) -> list[Piece]:
    """The packet as it came."""
    if not packet.size:
        return []
    return [Piece(bytes(packet), time, packet.is_keyframe)]


def copied_picture(stream: VideoStream, codec: Codec) -> Handler:
    """For a picture that is sent as it is, under `codec`."""
    return copy if codec == "vp8" else _annex_b(stream)


def _annex_b(stream: VideoStream) -> Handler:
    """H.264 with start codes, its parameter sets before each keyframe (RFC 6184, 8.2.2)."""
    filters = av.BitStreamFilterContext("h264_mp4toannexb,dump_extra=freq=keyframe", stream)

    def handle(packet: AnyPacket, time: float) -> list[Piece]:
        if not packet.size:
            return []
        return [Piece(bytes(out), time, out.is_keyframe) for out in filters.filter(packet)]

    return handle


def coded_voice(encoder: VoiceEncoder) -> Handler:
    """For sound in any codec and form."""

    def handle(packet: AnyPacket, time: float) -> list[Piece]:
        pieces: list[Piece] = []
        for frame in packet.decode():
            if isinstance(frame, av.AudioFrame):
                pieces += encoder.encode(frame, time)
                time += frame.samples / frame.sample_rate
        return pieces

    return handle


def coded_picture(encoder: VideoEncoder) -> Handler:
    """For pictures in any codec and size."""

    def handle(packet: AnyPacket, time: float) -> list[Piece]:
        pieces: list[Piece] = []
        came = time_of(packet)
        for frame in packet.decode():
            if isinstance(frame, av.VideoFrame):
                # With B-frames a packet gives an earlier picture than its own. A later one is of
                # before the stamps stepped back.
                shift = 0.0 if came is None or frame.time is None else min(0.0, frame.time - came)
                pieces += encoder.encode(frame, time + shift)
        return pieces

    return handle
