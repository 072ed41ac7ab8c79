"""The worker process that makes a finished lesson's copies; started by `copies_maker`.

Here: PyAV, one lesson from the first to the last copy, its files and then `extras.json`. Not here:
which copies there are (`copies`), when it runs. It takes what nobody else wants of the processor.
Killed at any moment it leaves files that nothing names, and the next run writes them anew.

    python -m relay.record.copies_worker ARCHIVE
"""

from __future__ import annotations

import contextlib
import io
import sys
from bisect import bisect_left
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.fifo import AudioFifo
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream

from classroom.archive.canonical import digest
from classroom.archive.extras import Captions, Extras
from classroom.archive.journal import Init, Segment
from classroom.archive.manifest import Manifest, RenditionManifest
from classroom.archive.names import (
    AAC_VOICE,
    EXTRAS,
    MANIFEST,
    VOICE_TIMESCALE,
    init_name,
    segment_name,
    timescale,
)
from classroom.errors import Refused
from relay.cache.files import make_directory, write_atomic
from relay.media.frame_info import PayloadError
from relay.record.cmaf import init_segment
from relay.record.cmaf_read import scan
from relay.record.copies import (
    Copy,
    Frame,
    init_entry,
    needed,
    scaled,
    segment_bytes,
    segment_entry,
)
from relay.record.join import H264Joiner
from relay.record.sample_entries import SampleEntry, aac_entry
from relay.worker_process import die_with_parent, yield_to_all

_AAC_SAMPLES: Final = 1_024
_AAC_BITRATE: Final = 40_000  # bit/s: speech of one channel without audible loss
_H264_OPTIONS: Final = {
    "preset": "veryfast",
    "tune": "zerolatency",  # no frames out of order, for which fragments here have no place
    "crf": "26",
    "maxrate": "700k",
    "bufsize": "1400k",
    "forced-idr": "1",
    "profile": "main",
    "sc_threshold": "0",
}
_NO_PERIOD: Final = 100_000  # frames; keyframes come where the segments begin
MAX_PIXELS: Final = 4096 * 2304
"""What a publisher sent is recorded as it is; no camera or screen has more. A larger picture is
memory for the asking, and is not decoded."""


class _Writer:
    """The files of one copy. Segments come in order of time."""

    def __init__(self, archive: Path, copy: Copy) -> None:
        self._folder = archive / copy.name
        make_directory(self._folder)
        self._name = copy.name
        self._source = copy.source
        self._ticks = timescale(copy.name)
        self._inits: dict[bytes, Init] = {}
        self._segments: list[Segment] = []

    def init(self, entry: SampleEntry) -> int:
        """The number of the initialisation file for `entry`."""
        data = init_segment(entry, self._ticks)
        if data not in self._inits:
            number = len(self._inits)
            size = (entry.width, entry.height)
            of = self._source.inits[0]
            self._inits[data] = init_entry(self._name, number, of, entry.codec, size, data)
            write_atomic(self._folder / init_name(number), data)
        return self._inits[data].number

    def segment(self, of: Segment, init: int, frames: list[Frame], end: int) -> None:
        if not frames or end <= frames[-1].start:
            return
        data = segment_bytes(frames, end, self._ticks)
        write_atomic(self._folder / segment_name(of.beat, of.part), data)
        self._segments.append(segment_entry(self._name, of, init, frames, end, data))

    def done(self) -> RenditionManifest | None:
        if not self._segments:
            return None
        inits = tuple(self._inits.values())
        return RenditionManifest(self._name, self._ticks, inits, tuple(self._segments), ())


def make(archive: Path) -> Extras:
    """Make the copies of a finished archive, and write its extras. Raises OSError, Refused."""
    document = (archive / MANIFEST).read_bytes()
    manifest = Manifest.decode(document)
    copies = []
    for copy in needed(manifest):
        writer = _Writer(archive, copy)
        (_copy_voice if copy.name == AAC_VOICE else _copy_pictures)(archive, copy, writer)
        made = writer.done()
        if made is not None:
            copies.append(made)
    captions: tuple[Captions, ...] = ()
    with contextlib.suppress(FileNotFoundError, Refused):
        captions = Extras.decode((archive / EXTRAS).read_bytes()).captions
    copies.sort(key=lambda one: one.name)
    extras = Extras(manifest.lesson, digest(document), captions, tuple(copies))
    write_atomic(archive / EXTRAS, extras.encode())
    return extras


# The voice


def _copy_voice(archive: Path, copy: Copy, writer: _Writer) -> None:
    init = writer.init(aac_entry())
    for run in _runs(copy.source.segments):
        frames = list(_encode_run(archive / copy.source.name, run))
        end = run[-1].start + run[-1].duration
        starts = [frame.start for frame in frames]
        for of in run:
            # A frame belongs to the segment in which it begins, and may reach into the next one.
            first, last = (bisect_left(starts, at) for at in (of.start, of.start + of.duration))
            following = starts[last] if last < len(starts) else end
            writer.segment(of, init, frames[first:last], following)


def _runs(segments: tuple[Segment, ...]) -> list[list[Segment]]:
    """Segments that follow each other without a hole."""
    runs: list[list[Segment]] = []
    for segment in segments:
        last = runs[-1][-1] if runs else None
        if last is None or last.start + last.duration != segment.start:
            runs.append([])
        runs[-1].append(segment)
    return runs


def _encode_run(folder: Path, run: list[Segment]) -> Iterator[Frame]:
    """The AAC frames of a run, each beginning where its sound does."""
    encoder = _audio(av.CodecContext.create("aac", "w"))
    encoder.sample_rate, encoder.layout = VOICE_TIMESCALE, "mono"
    encoder.format = av.AudioFormat("fltp")
    encoder.bit_rate = _AAC_BITRATE
    encoder.time_base = Fraction(1, VOICE_TIMESCALE)
    begin, end = run[0].start, run[-1].start + run[-1].duration
    done = 0
    fifo = AudioFifo()
    for sound in _sound(folder, run):
        fifo.write(sound)
        while (full := fifo.read(_AAC_SAMPLES)) is not None:
            yield from _aac(encoder, full, done, begin, end)
            done += _AAC_SAMPLES
    rest = fifo.read(0, partial=True)
    if rest is not None:
        yield from _aac(encoder, rest, done, begin, end)
    yield from _aac(encoder, None, 0, begin, end)


def _aac(
    encoder: AudioCodecContext, frame: av.AudioFrame | None, at: int, begin: int, end: int
) -> Iterator[Frame]:
    if frame is not None:
        frame.pts, frame.time_base = at, Fraction(1, VOICE_TIMESCALE)
    for packet in encoder.encode(frame):
        # What the encoder puts before the sound to begin with is not in the timeline.
        if packet.pts is not None and packet.pts >= 0 and begin + packet.pts < end:
            yield Frame(begin + packet.pts, True, bytes(packet))


def _sound(folder: Path, run: list[Segment]) -> Iterator[av.AudioFrame]:
    """The decoded voice, exactly as long as the packets say, so that no error adds up."""
    decoder = _audio(av.CodecContext.create("libopus", "r"))
    decoder.sample_rate, decoder.layout = VOICE_TIMESCALE, "mono"
    resampler = av.AudioResampler("fltp", "mono", VOICE_TIMESCALE)
    for segment in run:
        data = (folder / segment_name(segment.beat, segment.part)).read_bytes()
        for sample in scan(data).samples:
            packet = av.Packet(data[sample.offset : sample.offset + sample.size])
            missing = sample.duration
            with contextlib.suppress(FFmpegError):
                for frame in decoder.decode(packet):
                    frame.pts = None
                    for even in resampler.resample(frame):
                        even.pts = None
                        part = even if even.samples <= missing else _first(even, missing)
                        if part is not None:
                            yield part
                            missing -= part.samples
            if missing > 0:
                yield _silence(missing)


def _first(frame: av.AudioFrame, samples: int) -> av.AudioFrame | None:
    if samples <= 0:
        return None
    fifo = AudioFifo()
    fifo.write(frame)
    part = fifo.read(samples)
    if part is not None:
        part.pts = None
    return part


def _silence(samples: int) -> av.AudioFrame:
    frame = av.AudioFrame("fltp", "mono", samples)
    frame.planes[0].update(bytes(frame.planes[0].buffer_size))
    frame.sample_rate = VOICE_TIMESCALE
    return frame


def _audio(context: av.CodecContext) -> AudioCodecContext:
    assert isinstance(context, AudioCodecContext), "a voice codec was named"
    return context


# Pictures


class _Encoder:
    """H.264 of one size; made anew where the size changes."""

    def __init__(self) -> None:
        self._context: VideoCodecContext | None = None
        self._joiner = H264Joiner()
        self.entry: SampleEntry | None = None

    def encode(self, picture: VideoFrame, key: bool, lines: int) -> tuple[bytes, bool]:
        """The frame as a sample holds it, and whether it is a key frame. Raises PayloadError."""
        width, height = scaled(picture.width, picture.height, lines)
        context = self._context
        if context is None or (context.width, context.height) != (width, height):
            context = self._context = _h264(width, height)
            self._joiner = H264Joiner()
            key = True
        even = picture.reformat(width, height, "yuv420p")
        even.pts, even.time_base = picture.pts, context.time_base
        even.pict_type = PictureType.I if key else PictureType.NONE
        joined = self._joiner.join_stream(b"".join(bytes(p) for p in context.encode(even)))
        self.entry = joined.entry or self.entry
        return joined.data, joined.key


def _h264(width: int, height: int) -> VideoCodecContext:
    context = av.CodecContext.create("libx264", "w")
    assert isinstance(context, VideoCodecContext), "a video codec was named"
    context.width, context.height = width, height
    context.pix_fmt = "yuv420p"
    context.time_base = Fraction(1, 90_000)
    context.gop_size = _NO_PERIOD
    context.thread_count = 1
    context.options = dict(_H264_OPTIONS)
    return context


def _copy_pictures(archive: Path, copy: Copy, writer: _Writer) -> None:
    folder = archive / copy.source.name
    encoder = _Encoder()
    for segment in copy.source.segments:
        head = (folder / init_name(segment.init)).read_bytes()
        data = (folder / segment_name(segment.beat, segment.part)).read_bytes()
        frames: list[Frame] = []
        # A picture that cannot be decoded stands still; so it did in the lesson.
        with contextlib.suppress(FFmpegError, PayloadError):
            for picture in _pictures(head + data):
                at = picture.pts
                if at is None or (frames and at <= frames[-1].start):
                    continue
                sample, key = encoder.encode(picture, not frames, copy.lines)
                if frames or key:
                    frames.append(Frame(at, key, sample))
        if frames and encoder.entry is not None:
            writer.segment(
                segment, writer.init(encoder.entry), frames, segment.start + segment.duration
            )


def _pictures(data: bytes) -> Iterator[VideoFrame]:
    options = {"max_pixels": str(MAX_PIXELS)}
    # Opening decodes, too, to find out what is in it.
    with av.open(io.BytesIO(data), "r", options=options) as container:
        stream = container.streams.video[0]
        assert isinstance(stream, VideoStream)
        stream.codec_context.options = options
        stream.codec_context.thread_count = 1
        yield from container.decode(stream)


def main() -> None:
    """Run as a process of its own, at the lowest priority."""
    die_with_parent()
    yield_to_all()
    av.logging.set_level(av.logging.PANIC)
    make(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
