"""What the plan says comes next, whom it asks, and whom it leaves alone, in virtual time."""

from __future__ import annotations

from relay.sync.plan import FOLLOWED_S, Fetch, Lesson, Plan, Share, Step, Tier, steps

DATE = 1_800_000_000.0
SHARES = (
    Share("camera-f", 9_000),
    Share("camera-q", 900),
    Share("screen-f", 5_000),
    Share("screen-q", 500),
    Share("voice", 300),
)


def lesson(name: str, tier: Tier = Tier.MEANT, at: float = 0.0, **more: object) -> Lesson:
    return Lesson(name, tier, SHARES, DATE + at, opened=True, **more)  # type: ignore[arg-type]  # each test names what it changes


def order(plan: Plan, now: float = 0.0, most: int = 9) -> list[tuple[str, str]]:
    return [(one.lesson, one.rendition) for one in plan.next_fetches(now, DATE, most)]


def with_held(**held: int) -> Lesson:
    names = {name.replace("-", "_"): name for name in (share.rendition for share in SHARES)}
    by_name = {names[key]: value for key, value in held.items()}
    shares = tuple(
        Share(share.rendition, share.bytes, by_name.get(share.rendition, 0)) for share in SHARES
    )
    return Lesson("toan-7", Tier.MEANT, shares, DATE, opened=True)


def test_voice_and_slides_come_first_then_the_small_picture_then_better_ones() -> None:
    found = [(fetch.step, fetch.rendition) for fetch in steps(lesson("toan-7"))]
    assert found == [
        (Step.VOICE, "voice"),
        (Step.SLIDES, "screen-q"),
        (Step.SMALL, "camera-q"),
        (Step.BETTER, "screen-f"),
        (Step.BETTER, "camera-f"),
    ]


def test_gaps_in_what_is_here_in_part_come_before_better_renditions() -> None:
    held = with_held(camera_f=8_999, voice=300, screen_q=500, camera_q=900)
    found = [(fetch.step, fetch.rendition) for fetch in steps(held)]
    assert found[:2] == [(Step.GAPS, "camera-f"), (Step.BETTER, "screen-f")]


def test_a_lesson_begins_with_its_manifest_and_ends_with_its_journal() -> None:
    first = next(steps(Lesson("toan-7", Tier.MEANT, SHARES)))
    assert first == Fetch("toan-7", Tier.MEANT, Step.OPEN)
    whole = with_held(camera_f=9_000, camera_q=900, screen_f=5_000, screen_q=500, voice=300)
    assert [fetch.step for fetch in steps(whole)] == [Step.FINISH]
    # A byte that is missing, and the archive could not be finished.
    nearly = with_held(camera_f=8_999, camera_q=900, screen_f=5_000, screen_q=500, voice=300)
    assert [fetch.step for fetch in steps(nearly)] == [Step.GAPS]


def test_lessons_meant_for_this_school_come_first_and_of_those_all_voices() -> None:
    plan = Plan()
    plan.update(lesson("library", Tier.LIBRARY, at=9.0), DATE)
    plan.update(lesson("older", at=-500.0), DATE)
    plan.update(lesson("newer", at=-100.0), DATE)
    found = order(plan)
    assert found[:4] == [
        ("newer", "voice"),
        ("older", "voice"),
        ("newer", "screen-q"),
        ("older", "screen-q"),
    ]
    assert [name for name, _ in found[-5:]] == ["library"] * 5


def test_the_timetable_goes_before_what_is_new() -> None:
    plan = Plan()
    plan.update(lesson("newer"), DATE)
    plan.update(lesson("tomorrow", at=-1e6, wanted_at=DATE + 86_400), DATE)
    plan.update(lesson("today", at=-2e6, wanted_at=DATE + 3_600), DATE)
    assert [name for name, what in order(plan) if what == "voice"] == ["today", "tomorrow", "newer"]


def test_a_lesson_from_the_future_is_no_newer_than_now() -> None:
    plan = Plan()
    plan.update(lesson("a-now"), DATE)
    plan.update(lesson("b-future", at=1e10), DATE)
    assert [name for name, what in order(plan) if what == "voice"] == ["a-now", "b-future"]


def test_what_a_pupil_follows_goes_before_all_for_a_while() -> None:
    plan = Plan()
    plan.update(lesson("meant"), DATE)
    plan.update(lesson("library", Tier.LIBRARY), DATE)
    plan.follow("library", 0.0, DATE)
    assert order(plan)[0] == ("library", "voice")
    # More of it came meanwhile: it is followed all the same.
    plan.update(lesson("library", Tier.LIBRARY), DATE)
    assert order(plan, FOLLOWED_S - 1)[0] == ("library", "voice")
    assert order(plan, FOLLOWED_S + 1)[0] == ("meant", "voice")


def test_a_metered_link_brings_only_what_is_meant_for_the_school_and_no_better_renditions() -> None:
    plan = Plan(metered=True)
    plan.update(lesson("meant"), DATE)
    plan.update(lesson("library", Tier.LIBRARY), DATE)
    renditions = [what for _, what in order(plan)]
    assert renditions == ["voice", "screen-q", "camera-q"]
    assert plan.waiting(metered=True) == (1, 300 + 500 + 900)
    # A sibling on the LAN costs nothing.
    assert len(plan.next_fetches(0.0, DATE, 9, metered=False)) == 10


def test_what_is_put_off_waits_and_lets_others_through() -> None:
    plan = Plan()
    plan.update(lesson("first"), DATE)
    plan.update(lesson("second", at=-9.0), DATE)
    plan.put_off("first", 50.0)
    assert {name for name, _ in order(plan, 10.0)} == {"second"}
    assert order(plan, 51.0)[0] == ("first", "voice")


def test_what_no_source_has_now_holds_up_no_others() -> None:
    plan = Plan()
    for number in range(9):
        plan.update(lesson(f"new-{number}"), DATE)
    plan.update(lesson("old", at=-1e6), DATE)
    found = plan.next_fetches(0.0, DATE, 2, is_had=lambda name: name == "old")
    assert {one.lesson for one in found} == {"old"}


def test_what_a_metered_link_is_spared_holds_up_no_others() -> None:
    plan = Plan(metered=True)
    shares = tuple(Share(one.rendition, one.bytes, one.bytes) for one in SHARES[1:])
    for number in range(9):
        better = (Share("camera-f", 9_000), *shares)
        plan.update(Lesson(f"new-{number}", Tier.MEANT, better, DATE, opened=True), DATE)
    plan.update(Lesson("old", Tier.MEANT, shares, DATE - 1e6, opened=True), DATE)
    assert order(plan, most=2) == [("old", "")]


def test_without_room_the_library_waits_and_the_school_does_not() -> None:
    plan = Plan()
    plan.update(lesson("meant"), DATE)
    plan.update(lesson("library", Tier.LIBRARY), DATE)
    plan.put_off_library(100.0)
    assert {name for name, _ in order(plan, 99.0)} == {"meant"}
    assert {name for name, _ in order(plan, 100.0)} == {"meant", "library"}


def test_a_library_of_15000_lessons_is_ordered_as_it_changes() -> None:
    plan = Plan()
    for number in range(15_000):
        plan.update(lesson(f"bai-{number}", Tier.LIBRARY, at=float(-number)), DATE)
    assert order(plan, most=1)[0] == ("bai-0", "voice")
    plan.forget("bai-0")
    plan.update(lesson("bai-14999"), DATE)
    assert [name for name, what in order(plan, most=2) if what == "voice"] == ["bai-14999", "bai-1"]
    assert plan.waiting()[0] == 14_999


def test_a_source_that_fails_is_left_alone_longer_each_time() -> None:
    plan = Plan()
    now, waits = 0.0, []
    for _ in range(13):
        until = plan.source_failed("parent", now)
        waits.append(until - now)
        assert plan.usable(["parent", "sibling"], "x-1", until - 0.1) == ["sibling"]
        assert plan.usable(["parent", "sibling"], "x-1", until) == ["parent", "sibling"]
        now = until
    assert waits[:4] == [1.0, 2.0, 4.0, 8.0]
    assert waits[-1] == 1_800.0
    plan.source_gave("parent", now)
    assert plan.source_failed("parent", now) - now == 1.0


def test_requests_that_fail_together_are_one_failure() -> None:
    plan = Plan()
    for _ in range(8):
        assert plan.source_failed("parent", 0.0) == 1.0
    # One that was under way and comes to a good end says nothing of the next.
    plan.source_gave("parent", 0.5)
    assert plan.standing("parent", 0.5) == (0.5, 1, 0)


def test_rubbish_costs_a_source_more_than_silence() -> None:
    plan = Plan()
    assert plan.source_failed("parent", 0.0, rubbish=True) == 60.0
    assert plan.standing("parent", 0.0) == (60.0, 1, 1)


def test_a_source_that_lacks_a_lesson_is_asked_for_others() -> None:
    plan = Plan()
    plan.source_lacks("sibling", "a-1", 0.0)
    assert plan.usable(["sibling"], "a-1", 1.0) == []
    assert plan.usable(["sibling"], "b-1", 1.0) == ["sibling"]
    assert plan.usable(["sibling"], "a-1", 61.0) == ["sibling"]


def test_what_is_left_is_known_without_counting() -> None:
    plan = Plan()
    plan.update(lesson("meant"), DATE)
    plan.update(lesson("library", Tier.LIBRARY), DATE)
    whole = sum(share.bytes for share in SHARES)
    assert plan.waiting() == (2, 2 * whole)
    plan.follow("library", 0.0, DATE)
    assert plan.waiting(metered=True) == (2, 1_700 + whole)
    plan.next_fetches(FOLLOWED_S + 1, DATE, 1)
    assert plan.waiting(metered=True) == (1, 1_700)
    plan.update(with_held(voice=300), DATE)
    assert plan.waiting() == (3, 3 * whole - 300)
    for name in ("meant", "library", "toan-7", "unknown"):
        plan.forget(name)
    assert plan.waiting() == (0, 0)
