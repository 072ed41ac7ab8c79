"""Files, streams and capture devices: packets copied where they can be sent, else coded anew.

Lives here: opening with PyAV, choosing between copy and coding, looping a file, and opening a
live source again when it went away. Must not live here: what becomes of a packet (`lanes`), codec
settings (`encoders`), sending.

A stream is copied only with a keyframe at least every 8 s, since a recording is cut and a room
joins at keyframes. A camera that comes back may look different: the outlet keeps its codec, and
what cannot be copied under it any more is coded.
"""

from __future__ import annotations

import errno
import logging
import os
from pathlib import Path
from typing import Final

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.video.stream import VideoStream

from classroom.clock import monotonic
from classroom.errors import Misuse
from classroom.host.encoders import VideoEncoder, VoiceEncoder
from classroom.host.faults import came_back_without, no_picture, no_sound, sentence, undecodable
from classroom.host.lanes import (
    AnyPacket,
    Lane,
    Looks,
    coded_picture,
    coded_voice,
    copied_picture,
    copy,
    looks,
    pictures,
    sendable,
    voice_is_sendable,
)
from classroom.host.outlet import Codec, Name, Outlet, ignore_keyframe_request
from classroom.host.sources import SCREEN_MAX, Address, Options, Source
from classroom.host.stamps import Stamps

log = logging.getLogger(__name__)

KEYFRAME_GAP_MAX_S: Final = 8.0
PROBE_S: Final = 24.0  # how much of a file is looked at for its keyframe rhythm: three beats
OPEN_TIMEOUT_S: Final = 10.0
READ_TIMEOUT_S: Final = 10.0
RETRY_FIRST_S: Final = 1.0
RETRY_MOST_S: Final = 15.0
_LACKING: Final = (errno.EINVAL, errno.EIO)  # v4l2 and alsa
BUSY_WAIT_S: Final = 0.01  # a capture device with nothing ready says EAGAIN
LACKING_TRIES: Final = 3  # a camera that starts may show its picture before it has its sound


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
        # What a browser or a camera recorded may not say how long it is, and is no stream for that.
        recorded = address.kind == "file" and Path(address.target).is_file()
        live = self._device or (self._container.duration is None and not recorded)
        super().__init__(address.shown, live=live)
        self._lanes: dict[int, Lane] = {}
        self._lacking = 0
        video, sound = self._streams()
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
        # Else ffmpeg takes what stands before a colon in a file's name for a protocol.
        named = self._address.kind == "file" and os.path.exists(self._address.target)
        prefix = "file:" if named else ""
        tries = [_device_options(self._address, self._options)] if self._device else []
        if self._address.target.startswith("rtsp"):
            tries.append({"rtsp_transport": "tcp"})  # UDP is often blocked, and loses pictures
        for options in [*tries, {}]:
            try:
                return av.open(
                    prefix + self._address.target,
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

    def _streams(self) -> tuple[VideoStream | None, AudioStream | None]:
        """The picture and the sound of what is open, by kind: a camera may change their order."""
        video = next(iter(pictures(self._container)), None)
        return video, next(iter(self._container.streams.audio), None)

    def _add_voice(self, stream: AudioStream) -> None:
        outlet = Outlet("voice", "opus", live=self.live)
        self._add(self._voice_lane(stream, outlet), stream.index)

    def _add_picture(self, stream: VideoStream, name: Name) -> None:
        seen = self._looks(stream, name)
        place = self._container.streams.video.index(stream)
        try:
            copied = self._copied_codec(stream, name)
        except av.FFmpegError as error:
            raise Misuse(sentence(error, self.shown, device=self._device)) from error
        stream = self._container.streams.video[place]
        outlet = Outlet(name, copied or self._options.video_codec, live=self.live)
        self._add(self._picture_lane(stream, outlet, seen, copied), stream.index)

    def _add(self, lane: Lane, index: int) -> None:
        self._lanes[index] = lane
        self.outlets.append(lane.outlet)

    def _looks(self, stream: VideoStream | AudioStream, name: Name) -> Looks:
        seen = looks(stream)
        if seen is None:
            raise Misuse(undecodable(self.shown, name))
        return seen

    def _voice_lane(self, stream: AudioStream, outlet: Outlet) -> Lane:
        seen = self._looks(stream, "voice")
        if voice_is_sendable(stream):
            return Lane(outlet, seen, copy, copied=True)
        encoder = VoiceEncoder(self._options.voice_bit_rate)
        return Lane(outlet, seen, coded_voice(encoder), copied=False)

    def _copied_codec(self, stream: VideoStream, name: Name) -> Codec | None:
        codec = sendable(stream, self._largest(name))
        if codec is not None and not self._keyframes_are_frequent(stream):
            log.info("host.recode source=%s reason=keyframes-too-rare", self.shown)
            return None
        return codec

    def _largest(self, name: Name) -> tuple[int, int]:
        return SCREEN_MAX if name == "screen" else self._options.size

    def _picture_lane(
        self, stream: VideoStream, outlet: Outlet, seen: Looks, copied: Codec | None
    ) -> Lane:
        """`copied`: the codec under which the packets can be sent as they are, or None."""
        if copied == outlet.codec:
            outlet.request_keyframe = ignore_keyframe_request
            return Lane(outlet, seen, copied_picture(stream, copied), copied=True)
        screen = outlet.name == "screen"
        rate = self._options.screen_bit_rate if screen else self._options.video_bit_rate
        encoder = VideoEncoder(outlet.codec, rate, self._largest(outlet.name), sharp=screen)
        outlet.request_keyframe = encoder.request_keyframe
        stream.thread_type = "AUTO" if not self.live else "SLICE"
        return Lane(outlet, seen, coded_picture(encoder), copied=False)

    def _keyframes_are_frequent(self, stream: VideoStream) -> bool:
        """Look ahead for gaps over 8 s; then a file is at its start again. Raises FFmpegError."""
        stamps = Stamps(lambda by: None)
        last_key = 0.0
        frequent = True
        until = KEYFRAME_GAP_MAX_S + 0.5 if self.live else PROBE_S
        for packet in self._container.demux(stream):
            now = stamps.place(packet)
            if now - last_key > KEYFRAME_GAP_MAX_S:
                frequent = False
                break
            if packet.is_keyframe:
                last_key = now
            if now > until:
                break
        if not self.live:
            self._rewind()
        return frequent

    def _rewind(self) -> None:
        """Go back to a file's start. Raises Misuse when it is not there any more."""
        try:
            self._container.seek(0)
        except av.FFmpegError:
            # Bare H.264 knows no places in it.
            self._container.close()
            self._container = self._open()
            if self._lanes and not self._take_up():
                raise Misuse(f"{self.shown} cannot be read from its start again.") from None

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
                self._rewind()
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
        """Open the live source again; False while it is not there.

        Raises Misuse when it stays without a stream that it had, or has one that none can decode.
        """
        self._container.close()
        try:
            self._container = self._open()
        except Misuse as error:
            log.info("host.source-away source=%s reason=%s", self.shown, error)
            return False
        return self._take_up()

    def _take_up(self) -> bool:
        """Let the lanes read what was just opened; False and Misuse as of `_reopen`."""
        video, sound = self._streams()
        lanes: dict[int, Lane] = {}
        for lane in self._lanes.values():
            stream = sound if lane.outlet.name == "voice" else video
            if stream is None:
                self._lacking += 1
                if self._lacking >= LACKING_TRIES:
                    raise Misuse(came_back_without(self.shown, lane.outlet.name))
                log.info("host.source-lacks source=%s track=%s", self.shown, lane.outlet.name)
                return False
            try:
                lanes[stream.index] = self._resumed(lane, stream)
            except av.FFmpegError as error:
                reason = sentence(error, self.shown, device=self._device)
                log.info("host.source-away source=%s reason=%s", self.shown, reason)
                return False
        self._lanes, self._lacking = lanes, 0
        return True

    def _resumed(self, lane: Lane, stream: VideoStream | AudioStream) -> Lane:
        """`lane` reading `stream` of the container that was just opened, into the same outlet."""
        name = lane.outlet.name
        seen = self._looks(stream, name)
        changed = seen != lane.looks
        if isinstance(stream, AudioStream):
            fresh = self._voice_lane(stream, lane.outlet) if changed else lane
        else:
            copied = lane.outlet.codec if lane.copied else None
            if changed:  # by a file only where somebody wrote over it
                copied = self._copied_codec(stream, name) if self.live else None
            fresh = self._picture_lane(stream, lane.outlet, seen, copied)
            fresh.awaits_key = True  # what it refers to may have been lost with the connection
        fresh.last_time = lane.last_time
        if changed:
            how = "copied" if fresh.copied else "coded"
            form = "host.source-changed source=%s track=%s was=%s now=%s %s"
            log.warning(form, self.shown, name, lane.looks, seen, how)
        return fresh

    def _play(self, offset: float) -> float:
        """Send the container once through, times shifted by `offset`; returns its length in s."""
        container = self._container
        streams = [container.streams[index] for index in self._lanes]
        stamps = Stamps(self._jumped)
        read_at = monotonic()
        while not self._stopping.is_set():
            try:
                for packet in container.demux(*streams):
                    if self._stopping.is_set():
                        return stamps.end
                    self._send(packet, stamps.place(packet) + offset)
                    read_at = monotonic()
                return stamps.end
            except av.error.BlockingIOError as error:
                if error.errno != errno.EAGAIN:
                    raise
                # ffmpeg's own limit does not hold for devices; one that hangs is opened again.
                if monotonic() - read_at > READ_TIMEOUT_S:
                    raise TimeoutError from error
                self._stopping.wait(BUSY_WAIT_S)
        return stamps.end

    def _jumped(self, by: float) -> None:
        log.warning("host.source-jumped source=%s seconds=%.1f", self.shown, by)
        for lane in self._lanes.values():
            # What comes may refer to what was lost in between; a decoder of ours gets over it.
            lane.awaits_key = lane.awaits_key or lane.copied

    def _send(self, packet: AnyPacket, time: float) -> None:
        try:
            self._lanes[packet.stream.index].send(packet, time)
        except av.error.InvalidDataError:
            # One damaged packet costs a picture or 20 ms of voice, not the lesson.
            log.debug("host.damaged-packet source=%s", self.shown)


def _device_options(address: Address, options: Options) -> dict[str, str]:
    if address.kind == "sound-device":
        return {"channels": "1"}  # ffmpeg asks for two, and a microphone has one
    width, height = options.size
    return {"video_size": f"{width}x{height}", "framerate": f"{options.rate:g}"}
