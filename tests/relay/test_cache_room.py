"""Quota, free space and putting out, with real files; what is remembered over a restart."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from classroom.errors import Absent, Refused
from relay.cache.held import Claim
from relay.cache.index import SERVED_SECONDS
from tests.fakes.archives import make
from tests.relay.test_cache import School


@pytest.fixture
def school(tmp_path: Path) -> School:
    """Three lessons, copied in this order; nobody has watched any."""
    school = School(tmp_path)
    for number in (1, 2, 3):
        school.copy(make(f"lesson-{number}", epoch_ms=1_760_000_000_000 + number))
    return school


def here(school: School) -> list[str]:
    names = sorted(path.name for path in school.archives.iterdir())
    assert names == [held.lesson for held in school.cache.held()]
    return names


def size(school: School, lesson: str) -> int:
    held = school.cache.holding(lesson)
    assert held is not None
    return held.bytes


def test_the_quota_puts_out_what_nobody_watched(school: School) -> None:
    held = school.cache.space().held
    assert held == sum(size(school, f"lesson-{number}") for number in (1, 2, 3))
    assert school.cache.open_verified("lesson-1", "voice", "0.m4s") is not None
    school.now += SERVED_SECONDS + 1
    school.quota = held - 1
    school.restart()
    assert here(school) == ["lesson-1", "lesson-3"]
    assert school.cache.was_evicted("lesson-2")
    assert school.cache.counters()["evictions"] == 1
    with pytest.raises(Refused):
        school.cache.open_verified("lesson-2", "voice", "0.m4s")


def test_the_floor_counts_like_the_quota(school: School) -> None:
    school.floor = 10**9
    school.free = 10**9 - 1
    school.restart()
    # Nothing that was done made room: the other files of the disk are in the way.
    assert here(school) == []


def test_recordings_filled_to_the_floor_make_room_for_what_others_may_take(
    school: School,
) -> None:
    least = size(school, "lesson-1")
    held = school.cache.space().held
    school.floor = 10**6
    school.disk = school.floor + held
    school.claim = Claim(most=least // 2)
    school.restart()
    assert here(school) == ["lesson-2", "lesson-3"]
    assert school.free_now() == school.floor + least
    # What is fetched leaves it free; and what was put out for it is not fetched again.
    assert school.cache.room_for("lesson-4") == least - least // 2
    assert school.cache.make_room(least, "lesson-4") == 0
    assert school.cache.was_evicted("lesson-1")
    # What others took is theirs: for that nothing goes a second time.
    school.claim = Claim(most=least // 2, taken=least // 2)
    school.cache.tend()
    assert school.cache.room_for("lesson-4") == least - least // 2
    assert here(school) == ["lesson-2", "lesson-3"]


def test_a_small_disk_leaves_the_most_of_it_to_recordings(school: School) -> None:
    school.floor = 10**6
    school.disk = school.floor + school.cache.space().held
    school.claim = Claim(most=10**12)
    school.restart()
    # One of three is more than a quarter, and no more than that is kept for others.
    assert here(school) == ["lesson-2", "lesson-3"]
    school.claim = Claim(most=10**12, taken=school.free_now() - school.floor)
    school.cache.tend()
    assert here(school) == ["lesson-2", "lesson-3"]


def test_for_what_others_may_take_no_only_copy_and_no_pinned_lesson_goes(
    tmp_path: Path,
) -> None:
    school = School(tmp_path)
    for number in (1, 2):
        make(f"lesson-{number}").write(school.archives)
    school.copy(make("lesson-3"))
    school.cache.pin("lesson-3")
    school.floor = 10**6
    school.disk = school.floor + school.start().space().held
    school.claim = Claim(most=10**12)
    school.restart()
    assert here(school) == ["lesson-1", "lesson-2", "lesson-3"]
    assert [held.recorded for held in school.cache.held()] == [True, True, False]
    # For the floor itself only copies go, as ever.
    school.disk -= 1
    school.cache.tend()
    assert len(here(school)) == 2
    assert school.cache.holding("lesson-3") is not None
    # A lesson that somebody pinned may have all the room there is.
    others = school.cache.room_for("lesson-4")
    school.cache.pin("lesson-4")
    assert school.cache.room_for("lesson-4") > school.free_now() - school.floor > others


def test_the_root_keeps_nothing_free_for_others(school: School) -> None:
    school.root, school.claim, school.free = True, Claim(most=10**9), 10**6
    school.restart()
    assert len(here(school)) == 3
    assert school.cache.room_for("lesson-4") == 10**6


def test_a_lesson_that_is_watched_live_or_pinned_stays(school: School) -> None:
    school.cache.pin("lesson-1")
    school.live.add("lesson-2")
    assert school.cache.open_verified("lesson-3", "voice", "0.m4s") is not None
    assert school.cache.make_room(10**15) == 0
    school.now += SERVED_SECONDS + 1
    assert school.cache.make_room(10**15) > 0
    assert here(school) == ["lesson-1", "lesson-2"]


def test_the_root_puts_out_nothing(school: School) -> None:
    school.root, school.quota, school.floor, school.free = True, 1, 10**15, 0
    school.restart()
    assert school.cache.make_room(10**15) == 0
    assert len(here(school)) == 3


def test_room_for_a_lesson_is_made_of_what_matters_less(school: School) -> None:
    held = school.cache.space().held
    school.quota = held
    school.restart()
    school.cache.wanted("lesson-2", 1_760_003_600.0)
    new = "lesson-4"
    # Newer than the others, and nobody asked for it: older ones that nobody watched may go.
    school.cache.begin(new, make(new, epoch_ms=1_770_000_000_000).manifest)
    least = size(school, "lesson-1") + size(school, "lesson-3")
    assert least - 20_000 < school.cache.room_for(new) <= least
    assert school.cache.make_room(least + 1, new) == 0
    assert len(here(school)) == 4
    assert school.cache.make_room(1000, new) == least // 2
    assert here(school) == ["lesson-2", "lesson-3", "lesson-4"]
    # An older one that nobody asked for makes nobody go.
    old = "lesson-0"
    school.cache.begin(old, make(old, epoch_ms=1_700_000_000_000).manifest)
    assert school.cache.make_room(10**6, old) == 0
    school.cache.pin(old)
    assert school.cache.room_for(old) > 0


def test_pins_wants_and_uses_outlive_a_restart_and_their_loss_costs_no_lesson(
    school: School,
) -> None:
    school.cache.pin("lesson-1")
    school.cache.wanted("lesson-2", 1_760_000_000.0)
    assert school.cache.open_verified("lesson-3", "voice", "0.m4s") is not None
    before = school.cache.held()
    assert school.restart().held() == before
    assert before[0].pinned
    for damage in (b"", b"\0" * 300, b'{"format":2}'):
        school.state.write_bytes(damage)
        after = school.start().held()
        assert [(one.lesson, one.bytes) for one in after] == [
            (one.lesson, one.bytes) for one in before
        ]
    assert not after[0].pinned


def test_a_request_costs_no_write(school: School) -> None:
    school.cache.close()
    kept = school.state.read_bytes()
    for second in range(250):
        school.now += 1.0
        school.cache.used("lesson-1")
        if second % 60 == 0:
            school.cache.tend()
    assert school.state.read_bytes() == kept
    school.now += 60.0
    school.cache.tend()
    assert school.state.read_bytes() != kept


def test_what_a_crash_left_of_a_lesson_put_out_is_removed(school: School) -> None:
    os.rename(school.archives / "lesson-1", school.archives / ".evicted-lesson-1")
    (school.archives / ".evicted-lesson-1" / "manifest.json").unlink()
    school.start()
    assert here(school) == ["lesson-2", "lesson-3"]


def test_a_download_into_a_lesson_put_out_ends_with_a_sentence(school: School) -> None:
    source = make("lesson-4")
    school.cache.begin("lesson-4", source.manifest)
    part = school.cache.missing("lesson-4")[0]
    data = source.part(part.rendition, part.name)
    school.cache.append(part, 0, data[:10])
    school.now += SERVED_SECONDS + 1
    school.cache.make_room(10**15)
    with pytest.raises(Absent, match="removed"):
        school.cache.append(part, 10, data[10:])
    assert school.cache.missing("lesson-4") == []
    with pytest.raises(Refused):
        school.cache.complete(part)
    assert here(school) == []


def test_what_somebody_put_into_the_directory_of_lessons_is_left_alone(school: School) -> None:
    (school.archives / "lost+found").mkdir()
    (school.archives / "notes.txt").write_text("ours")
    (school.archives / "photos").symlink_to(school.archives.parent)
    school.quota = 1
    school.restart()
    assert school.cache.held() == []
    assert sorted(path.name for path in school.archives.iterdir()) == [
        "lost+found",
        "notes.txt",
        "photos",
    ]
    assert school.state.exists()
