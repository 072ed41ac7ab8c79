"""A VP8 source is recorded as H.264 by a worker process, which may die without harm to the voice.

The real worker, the real recorder; FFmpeg decodes what was recorded.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import av
import pytest
from av.container import InputContainer

from classroom.archive.contents import read_journal
from classroom.archive.manifest import RenditionManifest
from classroom.archive.names import segment_name
from relay.record.feed import LessonEnd
from relay.record.recorder import Recorder
from relay.record.transcode import ANSWER_WITHIN
from tests.eventually import eventually
from tests.fakes.rtp_media import lesson_records, numbered, picture
from tests.live.test_recorder import LESSON, QUICK, connected, manifest_of
from tests.relay.test_record_restart import Feed


def decoded(archives: Path, rendition: RenditionManifest) -> list[tuple[float, float]]:
    """(seconds, mean difference to the picture sent then) of each picture recorded."""
    directory = archives / LESSON / rendition.name
    data = (directory / "init-0.mp4").read_bytes() + b"".join(
        (directory / segment_name(s.beat, s.part)).read_bytes() for s in rendition.segments
    )
    path = archives / "joined.mp4"
    path.write_bytes(data)
    out = []
    with av.open(str(path)) as container:
        assert isinstance(container, InputContainer)
        for frame in container.decode(video=0):
            assert frame.time is not None
            original = picture(round(frame.time * 30), 160, 96).to_ndarray()[:96].astype(int)
            out.append(
                (frame.time, float(abs(frame.to_ndarray()[:96].astype(int) - original).mean()))
            )
    return out


def camera_of(archives: Path) -> RenditionManifest:
    camera = manifest_of(archives).rendition("camera")
    assert camera is not None
    assert camera.inits[0].codec.startswith("avc1.")
    assert camera.inits[0].source == "vp8"
    return camera


async def test_vp8_is_recorded_as_h264(tmp_path: Path) -> None:
    records = numbered([*lesson_records(10, codec="vp8", ended=False), LessonEnd(LESSON)])
    recorder = Recorder(tmp_path, settings=QUICK)
    async with connected(recorder) as media:
        await media.send(records)
        await media.until(len(records))
    await recorder.close()
    camera = camera_of(tmp_path)
    assert [s.start for s in camera.segments] == [0, 360_000, 720_000]
    pictures = decoded(tmp_path, camera)
    assert [round(time * 30) for time, _ in pictures] == list(range(300))
    assert max(difference for _, difference in pictures) < 45


@pytest.mark.parametrize(("fate", "least"), [("died", 300), ("hung", 200)])
async def test_a_lost_transcoder_costs_pictures_up_to_a_keyframe_and_no_voice(
    fate: str, least: int, tmp_path: Path
) -> None:
    records = numbered([*lesson_records(16, codec="vp8", ended=False), LessonEnd(LESSON)])
    recorder = Recorder(tmp_path, settings=QUICK)
    transcoder = recorder.transcoder
    async with connected(recorder) as media:
        await media.send(records[:600])
        await media.until(100)
        worker = transcoder.process
        assert worker is not None
        # What it still had to do is lost as well, and a busy machine lets it fall behind.
        await eventually(lambda: not transcoder.is_busy)
        if fate == "died":
            os.kill(worker.pid, signal.SIGKILL)
            await worker.wait()
        else:
            os.kill(worker.pid, signal.SIGSTOP)
            transcoder.patience = 0.1
            await media.send(records[600:700])
            await eventually(lambda: transcoder.process is not worker)
            transcoder.patience = ANSWER_WITHIN
        await media.send(records[600 if fate == "died" else 700 :])
        await media.until(len(records))
    await recorder.close()
    camera = camera_of(tmp_path)
    assert least < sum(s.frames for s in camera.segments) < 480
    assert max(difference for _, difference in decoded(tmp_path, camera)) < 45
    voice = manifest_of(tmp_path).rendition("voice")
    assert voice is not None
    assert sum(s.frames for s in voice.segments) == 800
    notes = read_journal((tmp_path / LESSON / "journal.jsonl").read_bytes()).contents.notes
    assert any(f"transcoder {fate}" in note.text for note in notes)


async def test_a_restarted_recorder_goes_on_with_a_transcoded_lesson(tmp_path: Path) -> None:
    records = numbered([*lesson_records(12, codec="vp8", ended=False), LessonEnd(LESSON)])
    recorder = Recorder(tmp_path, settings=QUICK)
    async with connected(recorder) as media:
        await media.send(records[:700])
        await media.until(200)
        acknowledged = media.acknowledged
    await recorder.close()
    again = Recorder(tmp_path, settings=QUICK)
    async with connected(again) as media:
        await media.send(Feed(records).again(acknowledged, len(records)))
        await media.until(len(records))
    await again.close()
    pictures = decoded(tmp_path, camera_of(tmp_path))
    assert [round(time * 30) for time, _ in pictures] == list(range(360))
    assert max(difference for _, difference in pictures) < 45
