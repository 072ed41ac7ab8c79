"""The worker process that makes small still pictures of keyframes; started by `stills_maker`.

Here: PyAV: decoding, whether a picture differs from the last one, scaling, AVIF of at most so many
bytes (WebP where PyAV has no AV1 encoder). Not here: who is sent what. A keyframe that cannot be
decoded is answered with nothing; the process lives until its stdin ends.

    request = !I length · msgpack [stream, codec, config, data, budgets, again]
    answer  = !I length · msgpack [[budget, mime, width, height, data], …] or nil

stream names the source that is compared with its own past. again: make pictures of it even if
nothing changed. nil: nothing changed, or there is no picture.

Measured at 640×360: a page of text needs 3.4 kB at 36 dB in AV1 with its tools for screens, 27 kB
in WebP; a camera 1.2 kB at 41 dB against 2.5 kB. Each try takes 0.05 to 0.4 s of a processor.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import BinaryIO, Final

import av
import msgpack
import numpy as np
import numpy.typing as npt
from av.codec.codec import UnknownCodecError
from av.codec.context import CodecContext
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from relay.record.worker_wire import LENGTH

MAX_STREAMS: Final = 16
# No camera or screen: a keyframe of some bytes may claim to be a gigabyte of picture.
MAX_PIXELS: Final = 4096 * 2304
# The live lesson comes first; but a still that waits long for a tenth of a second's work is old.
NICE: Final = 5
AV1: Final = "libsvtav1"
_NOBODY: Final = 65_534

# (longer side, constant rate factor) from best to least; the first that fits its budget is taken.
# Letters on slides want pixels before smoothness; a face may be soft.
_SCREEN: Final = (
    (1280, 40),
    (960, 36),
    (960, 46),
    (640, 40),
    (640, 50),
    (640, 58),
    (480, 58),
    (320, 58),
    (320, 63),
    (240, 63),
)
_CAMERA: Final = (
    (960, 36),
    (640, 34),
    (640, 42),
    (640, 50),
    (480, 52),
    (480, 60),
    (320, 60),
    (320, 63),
    (240, 63),
)
_WEBP_OF_CRF: Final = 1.4  # how much of WebP's quality (0–100) a step of the factor (63–0) is
# Screens repaint nothing by chance: tools for flat colours and repeated letters pay off.
_SVT: Final = {"screen": "avif=1:lp=1:scm=1", "camera": "avif=1:lp=1:scm=0"}
_PRESET: Final = {"screen": "4", "camera": "6"}
_SMALLEST: Final = 64  # pixels of a side, for the encoder

# A picture is compared on a coarse grid: noise averages out, a new line of writing does not.
_GRID: Final = (160, 90)
_CELL_CHANGED: Final = 10  # of 255
_CELLS_CHANGED: Final = 4
_MEAN_CHANGED: Final = 1.5

Grid = npt.NDArray[np.int16]


@dataclass(slots=True)
class _Stream:
    """What is remembered of one source. steps: the step of the ladder that fitted each budget."""

    grid: Grid | None = None
    steps: dict[int, int] = field(default_factory=dict)


def decode(codec: str, config: bytes, data: bytes) -> VideoFrame | None:
    """The picture of a keyframe; None if it is broken or larger than MAX_PIXELS."""
    context = CodecContext.create("libdav1d" if codec == "av1" else codec, "r")
    assert isinstance(context, VideoCodecContext), "a video codec was named"
    context.thread_count = 1
    if config:
        context.extradata = config
    context.options = {"max_pixels": str(MAX_PIXELS)}
    try:
        frames = [*context.decode(av.Packet(data)), *context.decode(None)]
    except FFmpegError:
        return None
    return frames[-1] if frames else None


def grid_of(frame: VideoFrame) -> Grid:
    """The brightness of `frame` on the coarse grid."""
    width, height = _GRID
    small = frame.reformat(width=width, height=height, format="gray", interpolation="AREA")
    return np.asarray(small.to_ndarray(), dtype=np.int16)


def is_changed(before: Grid | None, now: Grid) -> bool:
    """Whether people would see that the picture is another one."""
    if before is None:
        return True
    difference = np.abs(now - before)
    cells = int(np.count_nonzero(difference > _CELL_CHANGED))
    return cells >= _CELLS_CHANGED or float(difference.mean()) > _MEAN_CHANGED


def encode(frame: VideoFrame, kind: str, most: int, crf: int) -> tuple[str, int, int, bytes]:
    """(MIME type, width, height, bytes) of a still. kind: screen, camera.

    most: pixels that its longer side has at most, even; a telephone may be held upright.
    """
    longer = max(frame.width, frame.height)
    scale = min(most, longer) / longer
    wide = max(_SMALLEST, round(frame.width * scale / 2) * 2)
    high = max(_SMALLEST, round(frame.height * scale / 2) * 2)
    small = frame.reformat(width=wide, height=high, format="yuv420p", interpolation="AREA")
    try:
        return "image/avif", wide, high, _avif(small, kind, crf)
    except UnknownCodecError:
        return "image/webp", wide, high, _webp(small, crf)


def _avif(frame: VideoFrame, kind: str, crf: int) -> bytes:
    out = io.BytesIO()
    scheduler = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        _write_avif(out, frame, kind, crf)
    finally:
        # See `give_up_rights`; root that could not, too, should stay as polite as it was.
        if os.sched_getscheduler(0) != scheduler[0]:
            os.sched_setscheduler(0, *scheduler)
    return out.getvalue()


def _write_avif(out: io.BytesIO, frame: VideoFrame, kind: str, crf: int) -> None:
    with av.open(out, "w", format="avif") as container:
        stream = container.add_stream(AV1, rate=1)
        assert isinstance(stream, VideoStream), "a video codec was named"
        stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, "yuv420p"
        stream.options = {
            "crf": str(crf),
            "preset": _PRESET[kind],
            "svtav1-params": _SVT[kind],
        }
        frame.pts, frame.time_base = 0, Fraction(1, 1)
        container.mux([*stream.encode(frame), *stream.encode(None)])


def _webp(frame: VideoFrame, crf: int) -> bytes:
    context = CodecContext.create("libwebp", "w")
    assert isinstance(context, VideoCodecContext), "a video codec was named"
    context.width, context.height, context.pix_fmt = frame.width, frame.height, "yuv420p"
    context.time_base = Fraction(1, 1)
    context.options = {"quality": str(round((63 - crf) * _WEBP_OF_CRF)), "preset": "picture"}
    frame.pts, frame.time_base = 0, Fraction(1, 1)
    return b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode(None)])


def fit(
    frame: VideoFrame, kind: str, budget: int, step: int
) -> tuple[int, tuple[str, int, int, bytes]]:
    """The step of the ladder whose picture fits `budget` bytes, and the picture.

    step: where to look first, such as the step that fitted last time. What fits with half of the
    budget to spare is tried one step better; the last step is taken whether it fits or not.
    """
    ladder = _SCREEN if kind == "screen" else _CAMERA
    best: tuple[int, tuple[str, int, int, bytes]] | None = None
    step = min(step, len(ladder) - 1)
    while True:
        # Steps above the picture's own size would be the same picture again.
        most, crf = ladder[step]
        still = encode(frame, kind, most, crf)
        fits = len(still[3]) <= budget
        if fits:
            best = (step, still)
            if step == 0 or len(still[3]) * 2 > budget:
                return best
            step -= 1
        elif best is not None:
            return best
        elif step == len(ladder) - 1:
            return step, still
        else:
            step += 1


class Worker:
    """Answers requests; remembers each stream's last picture."""

    def __init__(self) -> None:
        self._streams: OrderedDict[str, _Stream] = OrderedDict()

    def answer(
        self,
        name: str,
        codec: str,
        config: bytes,
        data: bytes,
        budgets: Sequence[int],
        again: bool,
    ) -> list[tuple[int, str, int, int, bytes]] | None:
        """A still for each budget (bytes), or None: see the module."""
        stream = self._streams.setdefault(name, _Stream())
        self._streams.move_to_end(name)
        while len(self._streams) > MAX_STREAMS:
            self._streams.popitem(last=False)
        frame = decode(codec, config, data)
        if frame is None:
            return None
        grid = grid_of(frame)
        if not is_changed(stream.grid, grid) and not again:
            return None
        kind = "screen" if name.endswith("/screen") else "camera"
        answers = []
        for budget in budgets:
            first = stream.steps.get(budget, 3)
            stream.steps[budget], (mime, width, height, still) = fit(frame, kind, budget, first)
            answers.append((budget, mime, width, height, still))
        stream.grid = grid
        return answers


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until their stream ends."""
    worker = Worker()
    while len(head := requests.read(LENGTH.size)) == LENGTH.size:
        request = msgpack.unpackb(requests.read(LENGTH.unpack(head)[0]))
        try:
            stills = worker.answer(*request)
        except FFmpegError:
            stills = None
        answer = msgpack.packb(stills)
        answers.write(LENGTH.pack(len(answer)) + answer)
        answers.flush()


def give_up_rights() -> None:
    """Go on as a user who may nothing, if we are root.

    Whoever publishes chooses what is decoded here. And SVT-AV1, finding itself to be root, gives
    its threads and its caller real-time priority over everything on the machine, the live lesson
    first of all.
    """
    if os.geteuid() != 0:
        return
    with contextlib.suppress(OSError):  # a container that has no other user
        os.setgroups([])
        os.setgid(_NOBODY)
        os.setuid(_NOBODY)


if __name__ == "__main__":
    os.nice(NICE)
    give_up_rights()
    av.logging.set_level(av.logging.PANIC)
    serve(sys.stdin.buffer, sys.stdout.buffer)
