"""The first second of a recording: the first report times what came shortly before it, too.

A layer's first packet arrives when its encoder has begun, later for one layer than for another; a
player that changes layers would go back or leap by the difference. The voice's arrives when the
teacher's computer is busiest, and would be as much behind the pictures.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from relay.media.timeline import TIE_SECONDS, PublisherClock, TrackTimeline
from relay.record.feed import End, Packet, Record
from tests.fakes.rtp_media import (
    EPOCH,
    Sender,
    encode_video,
    encode_voice,
    lesson_records,
    numbered,
    track,
)
from tests.live.recorded import pictures, speech
from tests.relay.test_record_restart import record_whole

RATE = 25
LATE = 0.2  # s; how late the first packet of one layer came
NOW = 1_700_000_000.0


def layers(told_at: float) -> list[Record]:
    """Two layers of one camera. One is timed by a first packet that was late, until a report."""
    prompt = Sender(track(1, "camera", "h264", rid="q"))
    late = Sender(track(2, "camera", "h264", rid="h"), offset=77)
    records: list[Record] = [prompt.track, prompt.sync(0.0), late.track]
    records.append(late.sync(0.0, EPOCH + LATE))
    told = False
    for index, frame in enumerate(encode_video("h264", 3 * RATE, RATE)):
        at = index / RATE
        if at >= told_at and not told:
            told = True
            since = late.timestamp(0.0) if at <= TIE_SECONDS else late.timestamp(at)
            records.append(replace(late.sync(at), since=since & 0xFFFFFFFF))
        records += [packet for sender in (prompt, late) for packet in sender.frame(frame, at)]
    return [*records, End(1, "left"), End(2, "left")]


@pytest.mark.parametrize(("told_at", "apart"), [(0.4, 0.0), (0.9, 0.0), (2 * TIE_SECONDS, LATE)])
def test_layers_are_in_step_from_the_first_frame_on(
    told_at: float, apart: float, tmp_path: Path
) -> None:
    record_whole(tmp_path, numbered(layers(told_at)))
    (archive,) = tmp_path.iterdir()
    prompt, late = (pictures(archive, f"camera-{rid}") for rid in "qh")
    assert [one.number for one in late[:RATE]] == [one.number for one in prompt[:RATE]]
    for before, after in zip(prompt[:RATE], late[:RATE], strict=True):
        assert after.time - before.time == pytest.approx(apart, abs=1e-3)


def test_the_voice_is_in_step_from_the_first_word_on(tmp_path: Path) -> None:
    """Nothing is put in where it is timed anew, and nothing left out."""
    records = lesson_records(3)
    late = Sender(track(2, "voice", "opus"), offset=7)
    at = next(at for at, one in enumerate(records) if one == late.sync(0.0))
    records[at] = late.sync(0.0, EPOCH + LATE)
    told = next(
        at
        for at, one in enumerate(records)
        if isinstance(one, Packet) and one.track == 2 and one.arrival > EPOCH + 0.8
    )
    records.insert(told, replace(late.sync(0.8), since=7))
    record_whole(tmp_path, numbered(records))
    (archive,) = tmp_path.iterdir()
    begins, heard = speech(archive)
    assert begins == pytest.approx(pictures(archive, "camera")[0].time, abs=1e-3)
    assert len(heard) == 48 * 20 * len(encode_voice(3 * 50))


def test_the_first_report_is_in_force_for_what_came_shortly_before_it() -> None:
    for when, since in ((0.5, 1_000), (TIE_SECONDS + 0.1, 4_001)):
        timeline, clock = TrackTimeline(90_000), PublisherClock()
        timeline.receive_packet(1_000, NOW)
        timeline.receive_packet(4_000, NOW + when)
        anchor = timeline.receive_report(4_000, NOW + when, clock, NOW + when)
        assert anchor is not None
        assert anchor.since == since
        # A later one tells of what follows alone.
        moved = timeline.receive_report(7_000 + 900, NOW + when + 0.1, clock, NOW + when + 0.1)
        assert moved is not None
        assert moved.since == 4_001
