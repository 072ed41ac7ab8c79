"""Still pictures: keyframes out of the feed, pictures out of keyframes, and a worker that may die.

Real encoders and decoders; the worker's process is real where its death is what is tested.
"""

from __future__ import annotations

import io
import os
import signal
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
from av.video.frame import VideoFrame

from relay.derive import pictures
from relay.record import copies_worker, stills_worker, transcode_worker
from relay.record.feed import End, Hello, LessonEnd, Packet, Record, Track
from relay.record.stills import Keyframe, Keyframes
from relay.record.stills_maker import StillsMaker
from relay.record.stills_worker import NICE, Worker, decode, encode, fit, grid_of, is_changed
from tests.fakes.rtp_media import EPOCH, Sender, encode_video, lesson_records, picture, track

Luma = npt.NDArray[np.uint8]


def feed(keyframes: Keyframes, records: list[Record]) -> None:
    for record in records:
        keyframes.receive(record)


def layer(
    number: int, source: str, width: int, *, until: float = 0.0, rid: str | None = None
) -> list[Record]:
    """One layer of a source with a keyframe captured at each eighth second."""
    sender = Sender(track(number, source, "vp8", rid=rid))
    frames = encode_video("vp8", 2, 60, width, width * 9 // 16 // 2 * 2)
    records: list[Record] = [sender.track, sender.sync(0.0)]
    at = 0.0
    while at <= until:
        # The first packets of a track wait a moment for others that may have been overtaken.
        records += sender.frame(frames[0], at) + sender.frame(frames[1], at + 0.3)
        at += 8.0
    return records


@pytest.mark.parametrize("codec", ["vp8", "vp9", "h264", "av1"])
def test_the_newest_keyframe_can_be_decoded(codec: str) -> None:
    keyframes = Keyframes()
    feed(keyframes, lesson_records(3, codec=codec, key_every=30, ended=False))
    newest = keyframes.newest("toan-7", ("voice", "camera"))
    assert newest is not None
    assert newest.captured == pytest.approx(EPOCH + 2.0, abs=0.01)
    assert newest.width == 160
    shown = decode(newest.codec, newest.config, newest.data)
    assert shown is not None
    assert not is_changed(grid_of(picture(60, 160, 96)), grid_of(shown))
    assert is_changed(grid_of(picture(30, 160, 96)), grid_of(shown))


def test_a_picture_from_a_relay_above_has_the_time_of_the_clock_here() -> None:
    ahead = 86_400.0 * 365
    keyframes = Keyframes()
    for record in lesson_records(3, codec="vp9", key_every=30, ended=False):
        told = replace(record, origin="root") if isinstance(record, Track) else record
        arrival = record.arrival if isinstance(record, Packet) else EPOCH
        keyframes.receive(told, arrival + ahead)
    newest = keyframes.newest("toan-7", ("camera",))
    assert newest is not None
    assert newest.captured == pytest.approx(EPOCH + ahead + 2.0, abs=0.01)


@pytest.mark.parametrize("codec", ["vp8", "vp9", "h264", "av1"])
def test_a_picture_larger_than_any_camera_or_screen_is_not_decoded(
    codec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = {one.MAX_PIXELS for one in (stills_worker, pictures, transcode_worker, copies_worker)}
    assert len(limits) == 1
    keyframes = Keyframes()
    feed(keyframes, lesson_records(1, codec=codec, key_every=30, ended=False))
    newest = keyframes.newest("toan-7", ("voice", "camera"))
    assert newest is not None
    for most, shown in ((2 * 160 * 96, True), (160 * 96 // 2, False)):
        monkeypatch.setattr(stills_worker, "MAX_PIXELS", most)
        frame = decode(newest.codec, newest.config, newest.data)
        assert (frame is not None) == shown


def test_slides_come_before_the_camera_while_they_are_sent() -> None:
    keyframes = Keyframes()
    feed(keyframes, layer(1, "camera", 640) + layer(2, "screen", 640))
    for sources, expected in (
        (("voice", "camera", "screen"), "screen"),
        (("voice", "camera"), "camera"),
        (("voice",), None),
    ):
        found = keyframes.newest("toan-7", sources)
        assert (found and found.source) == expected
    assert keyframes.newest("van-8", ("camera",)) is None


def test_of_several_layers_the_narrowest_that_is_wide_enough_and_alive_is_taken() -> None:
    keyframes = Keyframes()
    for number, (width, rid) in enumerate(((320, "q"), (640, "h"), (1280, "f")), 1):
        feed(keyframes, layer(number, "camera", width, rid=rid))
    found = keyframes.newest("toan-7", ("camera",))
    assert found is not None
    assert found.width == 640
    # The teacher's link drops the upper layers: their last pictures are old soon.
    keyframes = Keyframes()
    feed(keyframes, layer(1, "camera", 320, until=8.0, rid="q") + layer(2, "camera", 640, rid="h"))
    found = keyframes.newest("toan-7", ("camera",))
    assert found is not None
    assert found.width == 320


def test_what_ended_is_forgotten() -> None:
    for end in (End(1, "gone"), LessonEnd("toan-7"), Hello("another run")):
        keyframes = Keyframes()
        feed(keyframes, [Hello("one run"), *layer(1, "camera", 640)])
        # A new connection tells of the same tracks again.
        feed(keyframes, [Hello("one run"), layer(1, "camera", 640)[0]])
        assert keyframes.newest("toan-7", ("camera",)) is not None
        keyframes.receive(end)
        assert keyframes.newest("toan-7", ("camera",)) is None


def test_rubbish_in_a_track_costs_nothing_else() -> None:
    keyframes = Keyframes()
    feed(keyframes, layer(1, "camera", 640))
    for record in layer(2, "screen", 640):
        if isinstance(record, Packet):
            keyframes.receive(replace(record, packet=record.packet[:20]))
        else:
            keyframes.receive(record)
    assert keyframes.newest("toan-7", ("camera", "screen")) is not None


def slide(lines: int, pen: int = 0) -> VideoFrame:
    """A page with so many lines of something like letters, and a pen's line of so many pixels."""
    luma: Luma = np.full((720, 1280), 255, np.uint8)
    letters = np.random.default_rng(1)
    for line in range(lines):
        for word in range(14):
            glyph = letters.integers(0, 2, (6, 12), np.uint8).repeat(4, 0).repeat(4, 1) * 230
            left, top = 80 + word * 80, 60 + line * 60
            luma[top : top + 24, left : left + 48] = 255 - glyph
    luma[600:606, 100 : 100 + pen] = 40
    chroma = np.full((360, 1280), 128, np.uint8)
    return VideoFrame.from_ndarray(np.vstack([luma, chroma]), format="yuv420p")


def noisy(frame: VideoFrame) -> VideoFrame:
    planes = frame.to_ndarray().astype(np.int16)
    planes += np.random.default_rng(2).integers(-6, 7, planes.shape, np.int16)
    return VideoFrame.from_ndarray(planes.clip(0, 255).astype(np.uint8), format="yuv420p")


def test_noise_is_no_change_and_a_stroke_of_the_pen_is_one() -> None:
    before = grid_of(slide(6))
    assert not is_changed(before, grid_of(noisy(slide(6))))
    assert is_changed(before, grid_of(slide(6, pen=200)))
    assert is_changed(before, grid_of(slide(7)))
    assert is_changed(None, before)


@pytest.mark.parametrize("budget", [1_500, 4_000, 8_000])
def test_a_still_fits_its_budget_and_shows_the_picture(budget: int) -> None:
    step, (mime, width, height, data) = fit(slide(5), "screen", budget, 0)
    assert len(data) <= budget
    assert mime == "image/avif"
    # Looked for from any step, it is as good to a step.
    again, _ = fit(slide(5), "screen", budget, step)
    assert abs(again - step) <= 1
    with av.open(io.BytesIO(data), "r") as container:
        shown = next(container.decode(video=0))
    assert (shown.width, shown.height) == (width, height)
    difference = np.abs(grid_of(slide(5)) - grid_of(shown))
    assert float(difference.mean()) < 12.0


def test_a_budget_that_nothing_fits_gets_the_smallest() -> None:
    _, (_, width, _, data) = fit(noisy(slide(6)), "camera", 100, 0)
    assert width == 240
    assert len(data) > 100


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ((1280, 720), (640, 360)),
        ((720, 1280), (360, 640)),
        ((320, 180), (320, 180)),
        ((90, 1280), (64, 640)),
        ((64, 64), (64, 64)),
        ((1280, 66), (640, 64)),
        ((64, 5_000), (64, 640)),
        ((5_000, 64), (640, 64)),
    ],
)
def test_neither_side_of_a_still_is_longer_than_its_step_of_the_ladder(
    source: tuple[int, int], shown: tuple[int, int]
) -> None:
    width, height = source
    chroma = np.full((height // 2, width), 128, np.uint8)
    planes = np.vstack([np.full((height, width), 60, np.uint8), chroma])
    frame = VideoFrame.from_ndarray(planes, format="yuv420p")
    _, *size, data = encode(frame, "camera", 640, 50)
    assert tuple(size) == shown
    with av.open(io.BytesIO(data), "r") as container:
        made = next(container.decode(video=0))
    assert (made.width, made.height) == shown


def keyframe(number: int, at: int = 0) -> Keyframe:
    data = encode_video("vp8", 31, 30, 640, 360)[at].data
    return Keyframe(number, "toan-7", "camera", "vp8", b"", data, EPOCH, 640)


def test_a_worker_answers_once_for_what_stays_the_same() -> None:
    worker = Worker()
    first, other = keyframe(1), keyframe(2, at=30)
    made = worker.answer("toan-7/camera", "vp8", b"", first.data, [2_500, 8_000], False)
    assert made is not None
    assert [budget for budget, *_ in made] == [2_500, 8_000]
    assert worker.answer("toan-7/camera", "vp8", b"", first.data, [2_500], False) is None
    assert worker.answer("toan-7/camera", "vp8", b"", first.data, [2_500], True) is not None
    assert worker.answer("toan-7/camera", "vp8", b"", other.data, [2_500], False) is not None
    assert worker.answer("toan-7/camera", "vp8", b"", b"rubbish", [2_500], True) is None
    assert worker.answer("van-8/camera", "vp8", b"", other.data, [2_500], False) is not None


def owner(pid: int) -> int:
    """The user id that the process runs as."""
    return Path(f"/proc/{pid}").stat().st_uid


async def test_a_worker_stands_behind_the_lesson_and_may_nothing() -> None:
    before = os.sched_getscheduler(0)
    assert encode(slide(1), "screen", 320, 63)[3]
    assert os.sched_getscheduler(0) == before
    maker = StillsMaker()
    try:
        assert await maker.make(keyframe(1), [2_500], False)
        assert maker.process is not None
        pid = maker.process.pid
        assert os.sched_getscheduler(pid) == os.SCHED_OTHER
        assert os.getpriority(os.PRIO_PROCESS, pid) == os.getpriority(os.PRIO_PROCESS, 0) + NICE
        assert owner(pid) != 0
    finally:
        await maker.stop()


async def test_a_worker_that_is_killed_or_hangs_is_replaced() -> None:
    maker = StillsMaker(answer_seconds=20.0)
    try:
        assert await maker.make(keyframe(1), [2_500], False)
        assert maker.process is not None
        first = maker.process.pid
        os.kill(first, signal.SIGKILL)
        await maker.process.wait()
        # It knows nothing of the picture before, so the same one is new to it.
        assert await maker.make(keyframe(2), [2_500], False)
        assert maker.process.pid != first
        os.kill(maker.process.pid, signal.SIGSTOP)
        hung, maker.answer_seconds = maker.process, 0.1
        assert await maker.make(keyframe(3), [2_500], True) is None
        assert hung.returncode is not None
        assert maker.failures == 1
        # Not at once, or one that always hangs would take the processor.
        assert await maker.make(keyframe(4), [2_500], True) is None
        assert maker.failures == 1
    finally:
        await maker.stop()
