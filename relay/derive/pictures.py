"""A source's pictures decoded once and encoded small: VP8 in two temporal layers. PyAV.

Lives here: one decoder and the encoders of one source's ladder. Must not live here: threads and
sockets (`worker`), what is made at all (`pace`).

VP8 for every source: browsers must have it (RFC 7742 §5) and none fetches it from elsewhere first,
as Firefox does with H.264; its layers let a relay halve the frame rate for a room; at these sizes
libvpx gives a better picture than x264's baseline for the same time (1.3 % of a core against 0.6 %
at 180 lines, 2 dB apart; 3.5 and 3.1 % at 360, 2 dB).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Final

import av
from av.codec.context import CodecContext
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType, VideoFrame

from relay.derive.pace import Pace, Rung, rungs, size
from relay.derive.packets import PicturePackets
from relay.media import rtp
from relay.media.seqno import Unwrapper
from relay.record.assemble import Frame, VideoAssembler
from relay.record.feed import Track
from relay.record.reorder import Item, Reorder
from relay.record.sample_entries import SampleEntry
from relay.sfu.derived import RIDS

CLOCK: Final = 90_000
BEAT_SECONDS: Final = 8.0  # of the source's time between keyframes, if nobody asks for one
SETTLE_SECONDS: Final = 3.0
"""After its start a worker is late with what came meanwhile; that says nothing of the machine."""
STARVE_SECONDS: Final = 4.0  # the source's own next keyframe is waited for so long
MAX_PIXELS: Final = 4096 * 2304  # no camera or screen; a larger picture is memory for the asking
_TRIES: Final = 3  # keyframes that cannot be decoded; the source is asked for no more then
_HOLD: Final = 0.5  # s; what the publisher sends again comes sooner, or too late for a live picture
_JITTER: Final = 0.9  # a camera's frames are not exactly apart
_NO_PERIOD: Final = 100_000  # frames; keyframes come where they are asked for
_DECODERS: Final = {"h264": "h264", "vp8": "vp8", "vp9": "vp9", "av1": "libdav1d"}
_BASE_SHARE: Final = 0.6  # of the bits for the lower temporal layer, half of the frames


class Encoding:
    """One rung of a ladder."""

    def __init__(self, rung: Rung, ssrc: int, screen: bool) -> None:
        self.rung = rung
        self.keyframe_wanted = True
        self._screen = screen
        self._packets = PicturePackets(ssrc)
        self._encoder: VideoCodecContext | None = None
        self._count = 0
        """Frames since the encoder was opened; odd ones are of temporal layer 1."""
        self._due = 0.0
        self._keyframe_at = 0
        self._newest = -1

    def encode(self, frame: VideoFrame, timestamp: int, interval: float) -> list[bytes]:
        """The packets of `frame`, none if it came too soon. interval: seconds between frames."""
        if timestamp < self._due or timestamp <= self._newest:
            return []
        self._newest = timestamp
        self._due = timestamp + interval * CLOCK * _JITTER
        width, height = size(frame.width, frame.height, self.rung.lines)
        small = frame.reformat(width, height, "yuv420p")
        encoder = self._encoder
        if encoder is None or (encoder.width, encoder.height) != (width, height):
            encoder = self._encoder = self._open(width, height)
            self._count = 0
            self.keyframe_wanted = True
        if timestamp - self._keyframe_at >= BEAT_SECONDS * CLOCK:
            self.keyframe_wanted = True
        temporal = self._count % 2
        small.pict_type = PictureType.NONE
        if self.keyframe_wanted and temporal == 0:
            self.keyframe_wanted = False
            self._keyframe_at = timestamp
            small.pict_type = PictureType.I
        self._count += 1
        small.pts = timestamp
        small.time_base = encoder.time_base
        data = b"".join(bytes(packet) for packet in encoder.encode(small))
        return self._packets.frame(timestamp, data, temporal) if data else []

    def rest(self) -> None:
        """It is not made for now. Later it goes on in the same stream, whose numbers its receivers
        know, with a keyframe."""
        self._encoder = None

    def _open(self, width: int, height: int) -> VideoCodecContext:
        encoder = _video(CodecContext.create("libvpx", "w"))
        bitrate = self.rung.bitrate
        encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
        encoder.bit_rate = bitrate
        encoder.time_base = Fraction(1, CLOCK)
        encoder.framerate = Fraction(round(self.rung.rate), 1)
        encoder.gop_size = _NO_PERIOD
        encoder.thread_count = 1
        targets = f"{round(bitrate * _BASE_SHARE / 1000)},{bitrate // 1000}"
        encoder.options = {
            "deadline": "realtime",
            "cpu-used": "-6",
            "lag-in-frames": "0",
            "maxrate": str(bitrate),
            "bufsize": str(bitrate),
            # A keyframe of at most six frames' bits: a longer burst would wait in the room's queue.
            "max-intra-rate": "1200" if self._screen else "600",
            # Without it a left out frame of layer 1 takes the probabilities of the next with it.
            "error-resilient": "default",
            "static-thresh": "100" if self._screen else "1",
            "screen-content-mode": "1" if self._screen else "0",
            "ts-parameters": f"ts_number_layers=2:ts_target_bitrate={targets}:"
            "ts_rate_decimator=2,1:ts_periodicity=2:ts_layer_id=0,1:ts_layering_mode=2",
        }
        return encoder


class Ladder:
    """One source's pictures. Every call belongs to one thread."""

    def __init__(self, track: Track, ssrc: int, pace: Pace) -> None:
        self.dropped = 0
        """Frames that were not decoded: lost, or thrown away to stay in time."""
        self._track = track
        self._ssrc = ssrc
        self._pace = pace
        self._reorder = Reorder(_HOLD)
        self._assembler = VideoAssembler(track, resumed=False)
        self._times = Unwrapper(32)
        self._decoder: VideoCodecContext | None = None
        self._entry: SampleEntry | None = None
        self._encodings: list[Encoding] = []
        """Those that are made of pictures of this height."""
        self._known: dict[str, Encoding] = {}
        """All that were ever made, by name."""
        self._height = 0
        self._live = False
        self._settled_at: float | None = None
        self._waiting = True
        """For a keyframe of the source."""
        self._starving_since: float | None = None
        self._failures = 0
        self._last: tuple[VideoFrame, int] | None = None

    def packet(
        self, data: bytes, arrival: float, late: Callable[[float], float], now: float
    ) -> Iterator[tuple[int, bytes]]:
        """(place in RIDS, RTP packet) of all that one packet leads to. late: of an arrival time,
        how many seconds ago that was."""
        try:
            header = rtp.parse(data)
        except rtp.RtpError:
            return
        self._reorder.push(Item(0, arrival, data, header))
        for frame in self._assembler.receive(self._reorder.take(arrival)):
            yield from self._frame(frame, late(frame.arrival), now)

    def go(self) -> Iterator[tuple[int, bytes]]:
        """What came so far was kept; show the newest of it, and everything from now on."""
        self._live = True
        if self._last is not None:
            yield from self._encode(*self._last)

    def request_keyframe(self, rid: int) -> None:
        """Somebody needs one of the derived encoding `RIDS[rid]`."""
        for encoding in self._encodings:
            if encoding.rung.rid == RIDS[rid]:
                encoding.keyframe_wanted = True

    def is_starving(self, now: float) -> bool:
        """Whether to ask the source for a keyframe now; True once in a while."""
        if not self._waiting and not self._assembler.left_out:
            self._starving_since = None
        elif self._starving_since is None:
            self._starving_since = now
        elif now - self._starving_since >= STARVE_SECONDS:
            self._starving_since = now
            return self._failures < _TRIES
        return False

    def _frame(self, frame: Frame, late: float, now: float) -> Iterator[tuple[int, bytes]]:
        key = frame.joined.key
        self.dropped += self._assembler.left_out
        self._assembler.left_out = 0
        if self._live:
            if self._settled_at is None:
                self._settled_at = now + SETTLE_SECONDS
            if now >= self._settled_at:
                self._pace.note(late, now)
            if not key and self._pace.is_hopeless(late):
                self._waiting = True
        if self._waiting and not key:
            self.dropped += 1
            return
        self._waiting = False
        try:
            pictures = self._decode(frame)
        except FFmpegError:
            self._decoder = None
            self._waiting = True
            self._failures += 1
            self.dropped += 1
            return
        for picture in pictures:
            self._failures = 0
            timestamp = picture.pts
            assert timestamp is not None, "given with the packet"
            self._last = (picture, timestamp)
            if self._live:
                yield from self._encode(picture, timestamp)

    def _decode(self, frame: Frame) -> list[VideoFrame]:
        entry = frame.joined.entry
        if self._decoder is None or (entry is not None and entry != self._entry):
            self._entry = entry or self._entry
            self._decoder = _open_decoder(self._track.codec, self._entry)
        packet = av.Packet(frame.joined.data)
        packet.pts = packet.dts = self._times.unwrap(frame.timestamp)
        packet.time_base = Fraction(1, CLOCK)
        return self._decoder.decode(packet)

    def _encode(self, picture: VideoFrame, timestamp: int) -> Iterator[tuple[int, bytes]]:
        height = min(picture.width, picture.height)
        if height != self._height:
            self._height = height
            self._encodings = [self._encoding(rung) for rung in rungs(self._track.source, height)]
            for encoding in self._known.values():
                if encoding not in self._encodings:
                    encoding.rest()
        for place, encoding in enumerate(self._encodings):
            if self._pace.makes(place):
                rid = RIDS.index(encoding.rung.rid)
                interval = self._pace.interval(encoding.rung)
                for packet in encoding.encode(picture, timestamp, interval):
                    yield rid, packet

    def _encoding(self, rung: Rung) -> Encoding:
        known = self._known.get(rung.rid)
        if known is None:
            known = self._known[rung.rid] = Encoding(
                rung, self._ssrc, self._track.source == "screen"
            )
        return known


def _open_decoder(codec: str, entry: SampleEntry | None) -> VideoCodecContext:
    decoder = _video(CodecContext.create(_DECODERS[codec], "r"))
    decoder.thread_count = 1
    decoder.thread_type = "NONE"
    if codec == "h264" and entry is not None:
        # The parameter sets travel in the configuration, as in MP4, not in the frames.
        at = entry.box.index(b"avcC")
        end = at - 4 + int.from_bytes(entry.box[at - 4 : at], "big")
        decoder.extradata = entry.box[at + 4 : end]
    decoder.options = {"max_pixels": str(MAX_PIXELS)}
    if codec == "av1":
        decoder.options = {**decoder.options, "max_frame_delay": "1"}
    return decoder


def _video(context: CodecContext) -> VideoCodecContext:
    assert isinstance(context, VideoCodecContext), "a video codec was named"
    return context
