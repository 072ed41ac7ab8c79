"""Makes the golden archive anew: `python -m tests.vectors.make_archive`.

Only for a change of the archive's format, together with FORMAT.md: readers elsewhere are tested
against the bytes in `archive/toan-7-golden`. The media in it comes from this machine's encoders;
everything else follows from the format.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from relay.record.feed import End, Record
from relay.record.lesson import LessonRecorder
from relay.record.store import LessonStore
from tests.fakes.rtp_media import EPOCH, Sender, encode_video, encode_voice, numbered, track

LESSON = "toan-7-golden"
DIRECTORY = Path(__file__).parent / "archive"


def records() -> list[Record]:
    """A camera and a voice; after 3 s the publisher comes back with a larger picture."""
    out: list[Record] = []
    for take, (width, height) in enumerate(((160, 96), (176, 112))):
        start = take * 5.0
        camera = Sender(track(1 + 2 * take, "camera", "vp9", lesson=LESSON, rid="q", epoch=take))
        voice = Sender(track(2 + 2 * take, "voice", "opus", lesson=LESSON, epoch=take))
        out += [camera.track, voice.track, camera.sync(start), voice.sync(start)]
        timed = []
        for n, frame in enumerate(encode_video("vp9", 30, 20, width, height, 10)):
            timed += [(start + n / 10, p) for p in camera.frame(frame, start + n / 10)]
        for n, data in enumerate(encode_voice(150)):
            at = start + n / 50
            timed += [
                (at, p) for p in voice.packets([data], voice.timestamp(at), EPOCH + at + 0.05)
            ]
        out += [packet for _, packet in sorted(timed, key=lambda pair: pair[0])]
        out += [End(camera.track.track, "left"), End(voice.track.track, "left")]
    return out


def main() -> None:
    shutil.rmtree(DIRECTORY / LESSON, ignore_errors=True)
    store = LessonStore(DIRECTORY, LESSON)
    recorder = LessonRecorder(LESSON, beat_ms=2_000, hold=2.0, stored=None)
    for sequence, record in numbered(records()):
        recorder.receive("golden-feed", sequence, record)  # type: ignore[arg-type]  # no Hello in it
    recorder.finish(EPOCH + 8)
    store.commit(recorder.take_actions())
    store.close()


if __name__ == "__main__":
    main()
