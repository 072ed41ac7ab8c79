"""One view of a lesson that was recorded here and is told by a source."""

from __future__ import annotations

from dataclasses import replace

from classroom.archive.manifest import Manifest, RenditionManifest
from relay.cache.merge import files_of, hole, view
from relay.cache.parts import parts
from tests.fakes.archives import EPOCH_MS, make

ALL = ("voice", "camera-q", "camera-f")


def changed(manifest: Manifest, name: str, **changes: object) -> Manifest:
    """The manifest with one rendition changed."""

    def one(rendition: RenditionManifest) -> RenditionManifest:
        fields = {field: changes.get(field, getattr(rendition, field)) for field in _FIELDS}
        return RenditionManifest(**fields) if rendition.name == name else rendition  # type: ignore[arg-type]  # fields of any type

    return replace(manifest, renditions=tuple(map(one, manifest.renditions)))


_FIELDS = ("name", "timescale", "inits", "segments", "gaps")


def starts(manifest: Manifest, name: str) -> list[float]:
    return [part.start for part in parts(manifest) if part.rendition == name and part.end > 0]


def test_a_finished_lesson_is_what_the_source_says() -> None:
    source = make(beats=3).decoded
    local = make(beats=5, feed="ours", finished=False).decoded
    found = view(source, local, {"voice": 5})
    assert found.manifest == source
    assert found.whole
    assert not found.growing


def test_a_running_lesson_goes_on_with_what_is_recorded_here() -> None:
    source = make(beats=3, finished=False).decoded
    local = make(beats=5, feed="ours", lost={"voice": [0, 1]}, finished=False).decoded
    found = view(source, local, {"voice": 5})
    assert starts(found.manifest, "voice") == [0, 8, 16, 24, 32]
    assert found.growing == {"voice": 5}
    assert found.followed
    assert not found.whole
    # The sums agree: it could be written down.
    assert Manifest.decode(found.manifest.encode()) == found.manifest


def test_what_ended_here_is_over_though_the_source_is_away() -> None:
    source = make(beats=3, finished=False).decoded
    found = view(source, make(beats=5, feed="ours").decoded)
    assert found.manifest.finished
    assert not found.whole


def test_one_number_for_two_initialisations_is_not_mixed() -> None:
    source = make(beats=3, finished=False).decoded
    local = make(beats=5, feed="ours", lost={"voice": [1]}, finished=False).decoded
    voice = local.rendition("voice")
    assert voice is not None
    other = changed(local, "voice", inits=(replace(voice.inits[0], digest="f" * 64),))
    found = view(source, other)
    assert starts(found.manifest, "voice") == [0, 16, 24, 32]
    assert starts(found.manifest, "camera-q") == [0, 8, 16, 24, 32]
    spoilt = make(beats=3, feed="ours", spoilt={"voice": [1]}).decoded
    assert view(make(beats=3).decoded, spoilt).stand_ins
    other = changed(spoilt, "voice", inits=(replace(voice.inits[0], digest="f" * 64),))
    assert not view(make(beats=3).decoded, other).stand_ins


def test_recordings_of_two_clocks_are_not_mixed() -> None:
    local = make(beats=5, feed="ours", epoch_ms=EPOCH_MS + 7, finished=False).decoded
    found = view(make(beats=3, finished=False).decoded, local, {"voice": 5})
    assert found.manifest == local
    assert found.growing == {"voice": 5}
    assert not found.followed
    finished = view(make(beats=3).decoded, local)
    assert finished.manifest == make(beats=3).decoded
    assert not finished.stand_ins


def test_only_what_begins_at_the_same_moment_stands_in() -> None:
    source = make(beats=3).decoded
    local = make(beats=3, feed="ours", spoilt={"camera-q": [0, 1, 2]}).decoded
    camera = local.rendition("camera-q")
    assert camera is not None
    first, second, third = camera.segments
    late = replace(second, start=second.start + 3000, duration=second.duration - 3000)
    long = replace(third, duration=third.duration * 2)
    found = view(source, changed(local, "camera-q", segments=(first, late, long)))
    assert set(found.stand_ins) == {"camera-q/0.m4s"}


def test_a_hole_is_asked_for_until_somebody_told_of_it() -> None:
    whole = make(beats=6, finished=False).decoded
    assert hole(view(None, whole)) is None
    lost = make(beats=6, feed="ours", lost={name: [2, 3] for name in ALL}, finished=False).decoded
    assert hole(view(None, lost)) == ("voice", "2.m4s")
    late = make(beats=6, feed="ours", lost={name: [0, 1] for name in ALL}, finished=False).decoded
    assert hole(view(None, late)) == ("voice", "0.m4s")
    # The source has it, or had nothing there either; of a later hole it has not told yet.
    told = make(beats=4, finished=False).decoded
    assert hole(view(told, lost)) is None
    absent = make(beats=5, lost={name: [2, 3] for name in ALL}, finished=False).decoded
    assert hole(view(absent, lost)) is None
    twice = make(beats=9, feed="ours", lost={name: [2, 6, 7] for name in ALL}, finished=False)
    assert hole(view(told, twice.decoded)) == ("voice", "6.m4s")
    assert hole(view(None, make(beats=6, lost={name: [2] for name in ALL}).decoded)) is None


def test_a_hole_of_the_pictures_counts_where_there_is_no_voice() -> None:
    lost = make(beats=6, feed="ours", lost={"camera-f": [3]}, finished=False).decoded
    assert hole(view(None, lost)) is None
    pictures = tuple(one for one in lost.renditions if one.name != "voice")
    assert hole(view(None, replace(lost, renditions=pictures))) == ("camera-f", "3.m4s")


def test_every_part_has_one_place() -> None:
    manifest = make(beats=4).decoded
    names = [f"{part.rendition}/{part.name}" for part in parts(manifest)]
    assert sorted(names) == sorted(files_of(manifest))
    assert len(set(names)) == len(names)
