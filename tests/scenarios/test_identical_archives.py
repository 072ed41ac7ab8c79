"""What arrived whole at a school has the bytes that the root recorded, whatever the link did.

Two relays with their recorders and files, in virtual time (tests.fakes.trunk_story): each segment
of whose frames none is missing below must be there under the same name with the same bytes. That a
segment with a gap differs is all that tells that it must be fetched.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from relay.record import recording
from relay.record.cmaf_read import scan
from tests.fakes.archive_account import Account, account, adopt, contents_of, files, manifest_of
from tests.fakes.lesson_publisher import LayerPlan, SourcePlan
from tests.fakes.trunk_story import LESSON, PICTURES, SPEECH, TrunkStory

SLIDES = SourcePlan("screen", "vp9", (LayerPlan(""),), 2.0)
# A sound card 500 ppm fast, as none is: its packets come sooner and each has 20 ms.
FAST_CARD = 5e-4
FAST_SPEECH = replace(SPEECH, rate=SPEECH.rate * (1 + FAST_CARD))


def weak(story: TrunkStory, loss: float = 0.04) -> TrunkStory:
    """The link loses, jitters and changes the order."""
    for link in (story.down, story.up):
        link.loss, link.jitter, link.reorder, link.repeat = loss, 0.02, 0.01, 0.005
    return story


def beats(found: Account, rendition: str) -> set[int]:
    """Beats of which a rendition arrived whole."""
    names = (name.partition("/") for name in found.whole)
    return {int(name[2].partition(".")[0]) for name in names if name[0] == rendition}


def same_frame(story: TrunkStory) -> None:
    """Both recordings count from one moment, with one beat and the same takes."""
    root, school = manifest_of(story.root.archives), manifest_of(story.school.archives)
    assert (school.epoch_ms, school.beat_ms) == (root.epoch_ms, root.beat_ms)
    takes = contents_of(story.root.archives).takes
    assert {take.number for take in contents_of(story.school.archives).takes} <= {
        take.number for take in takes
    }


async def test_an_outage_on_a_lossy_link_costs_what_was_lost_and_nothing_else(
    tmp_path: Path,
) -> None:
    """The clock of the school's relay is years behind."""
    story = weak(TrunkStory(tmp_path, behind=1.5e9))
    story.begin(FAST_SPEECH, PICTURES, drift=1e-4, voice_drift=FAST_CARD)
    story.join()
    await story.run(20.0)
    story.cut()
    await story.run(17.0)
    story.mend(line_after=4.0)
    await story.run(22.0)
    await story.end()
    found = account(story.root, story.school)
    assert found.different == []
    same_frame(story)
    for rendition in ("voice", "camera-f", "camera-q"):
        assert beats(found, rendition) >= {1, 5, 6}, rendition
        assert not beats(found, rendition) & {3}
    assert not (story.school.archives / LESSON / "manifest.json").exists()
    fetched = adopt(story.root.archives / LESSON, story.school.archives, tmp_path / "cache.json")
    assert files(story.school.archives) == files(story.root.archives)
    assert 0 < fetched <= 1.15 * found.lost_bytes


async def test_a_relay_that_comes_later_records_what_follows_alike(tmp_path: Path) -> None:
    """Takes, anchors, a voice moved by whole packets: all was decided before it came."""
    story = weak(TrunkStory(tmp_path))
    story.begin(FAST_SPEECH, PICTURES, voice_drift=FAST_CARD)
    await story.run(2.0)
    story.unpublish()
    await story.run(1.0)
    story.begin(FAST_SPEECH, PICTURES, voice_drift=FAST_CARD, start=7, timestamp=2**32 - 9)
    await story.run(40.0)
    story.join()
    await story.run(20.0)
    await story.end()
    found = account(story.root, story.school)
    assert found.different == []
    same_frame(story)
    assert {"voice", "camera-f", "camera-q"} <= {name.partition("/")[0] for name in found.same}
    assert len(found.same) >= 3
    moved = [one for one in story.root.told if getattr(one, "since", None) is not None]
    assert any(one.track == 4 for one in moved), "the voice was moved before"


async def test_a_teacher_who_comes_again_and_sources_that_pause(tmp_path: Path) -> None:
    story = weak(TrunkStory(tmp_path, behind=-1.5e9))
    story.join()
    teacher = story.begin(SPEECH, PICTURES, SLIDES)
    await story.run(9.0)
    for outlet in teacher.of("camera"):
        outlet.sending = False
    await story.run(6.0)
    for outlet in teacher.of("camera"):
        outlet.sending = outlet.key_wanted = True
    teacher.outlet("voice").sending = False
    await story.run(3.0)
    teacher.outlet("voice").sending = True
    await story.run(4.0)
    story.unpublish()
    await story.run(2.0)
    story.begin(SPEECH, PICTURES, SLIDES, start=40_000, timestamp=11)
    await story.run(12.0)
    await story.end()
    found = account(story.root, story.school)
    assert found.different == []
    same_frame(story)
    assert len(found.whole) > 0.75 * len(found.segments)
    parts = [
        segment for one in manifest_of(story.root.archives).renditions for segment in one.segments
    ]
    assert any(segment.part for segment in parts), "a beat of several segments"


async def test_another_trunk_in_the_middle_of_a_beat_costs_that_beat(tmp_path: Path) -> None:
    """It begins with pictures that are recorded already: none is recorded twice."""
    story = TrunkStory(tmp_path)
    story.begin()
    story.join()
    await story.run(13.0)
    story.rejoin()
    await story.run(13.0)
    await story.end()
    found = account(story.root, story.school)
    assert {name.partition("/")[2] for name in found.different} <= {"1.m4s"}
    assert {"camera-f/0.m4s", "camera-f/2.m4s", "camera-q/2.m4s", "voice/2.m4s"} <= found.same
    for path in (story.school.archives / LESSON).glob("camera-*/*.m4s"):
        samples = scan(path.read_bytes()).samples
        assert min(sample.duration for sample in samples) > 90_000 / 20, path


async def test_a_short_outage_that_the_cache_covers_leaves_no_trace(tmp_path: Path) -> None:
    story = TrunkStory(tmp_path)
    story.begin()
    story.join()
    await story.run(10.0)
    story.cut()
    await story.run(1.0)
    story.mend(line_after=1.0)
    await story.run(8.0)
    await story.end()
    found = account(story.root, story.school)
    assert found.different == []
    assert {"camera-f/1.m4s", "camera-q/1.m4s", "voice/1.m4s"} <= found.same


@pytest.mark.parametrize(("change", "seed"), [({"lag": 0.0}, 3), ({"patience": 0.0}, 2)])
async def test_each_of_the_waits_below_is_needed(
    change: dict[str, Any], seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it, something that arrived whole is recorded otherwise."""
    told = recording.below
    monkeypatch.setattr(
        "tests.fakes.trunk_story.below", lambda settings: replace(told(settings), **change)
    )
    story = weak(TrunkStory(tmp_path, seed=seed, delay=0.3))
    story.begin(FAST_SPEECH, PICTURES, drift=2e-3, voice_drift=FAST_CARD)
    story.join()
    await story.run(10.0 if seed == 3 else 6.0)
    story.cut()
    await story.run(1.0 if seed == 3 else 4.0)
    story.mend(line_after=8.0)
    await story.run(15.0)
    await story.end()
    assert account(story.root, story.school).different
