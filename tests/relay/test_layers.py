"""Layers take turns in a playlist: what a layer lacks is shown by the one next to it.

Pure: manifests in, segments and playlists out. Real playback is in tests/live/test_replay.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from hypothesis import example, given, settings
from hypothesis import strategies as st

from classroom.archive.manifest import RenditionManifest
from relay.record import hls
from relay.record.fill import fits, parse_fill
from relay.record.layers import SLACK, choose
from tests.relay.test_hls import VOICE, entries, lesson, rendition

BEAT = 8


def sized(made: RenditionManifest, height: int) -> RenditionManifest:
    inits = tuple(replace(init, height=height) for init in made.inits)
    return replace(made, inits=inits)


def steady(name: str, height: int, beats: int, delay: float = 0.05) -> RenditionManifest:
    """A layer that never pauses; each of its segments begins a little after the beat."""
    starts = [n * BEAT + delay for n in range(beats)]
    ends = [*starts[1:], float(beats * BEAT)]
    return sized(
        rendition(name, *((a, b, 0, 0) for a, b in zip(starts, ends, strict=True))), height
    )


SMALL, MIDDLE = steady("camera-q", 180, 5), steady("camera-h", 360, 5, 0.06)


def shown(large: RenditionManifest, *others: RenditionManifest) -> list[str]:
    manifest = lesson(VOICE, large, *(others or (SMALL, MIDDLE)))
    text = hls.media(manifest, large.name)
    return [address for _, _, address in entries(text)]


def test_a_beat_that_a_layer_has_is_its_own() -> None:
    large = steady("camera-f", 720, 5, 0.9)
    addresses = [f"camera-f/{n}.m4s" for n in range(5)]
    assert shown(large) == ["camera-f/fill-0-81000.m4s", *addresses]


def test_a_beat_that_begins_with_one_picture_and_a_pause_is_shown_by_the_next_layer() -> None:
    large = sized(
        rendition(
            "camera-f",
            (0.05, 0.1, 0, 0),
            (6, 8.1, 0, 0),
            *((n * 8 + 0.1, n * 8 + 8.1, 0, 0) for n in range(1, 5)),
        ),
        720,
    )
    assert shown(large) == [
        "camera-f/fill-0-5400.m4s",
        "camera-h/0.m4s",
        # It begins a moment later than the other ends.
        "camera-h/fill-725400-729000.m4s",
        *(f"camera-f/{n}.m4s" for n in range(1, 5)),
    ]
    text = hls.media(lesson(VOICE, large, SMALL, MIDDLE), "camera-f")
    assert text is not None
    maps = [line for line in text.split("\n") if line.startswith("#EXT-X-MAP")]
    assert maps == [f'#EXT-X-MAP:URI="camera-{rid}/init-0.mp4"' for rid in "fhf"]
    assert "DISCONTINUITY" not in text


def test_what_no_neighbour_has_is_looked_for_further_away() -> None:
    large = sized(rendition("camera-f", (0.05, 8, 0, 0), (32, 40, 0, 0)), 720)
    middle = sized(rendition("camera-h", (0.05, 16, 0, 0), (24, 32, 0, 0)), 360)
    addresses = shown(large, SMALL, middle)
    assert [address for address in addresses if "fill" not in address] == [
        "camera-f/0.m4s",
        # The layer below has this beat inside a longer segment that is not shown.
        "camera-q/1.m4s",
        "camera-q/2.m4s",
        "camera-h/3.m4s",
        "camera-f/4.m4s",
    ]


def test_a_segment_that_reaches_over_beats_shows_them_all() -> None:
    large = sized(rendition("camera-f", (0.05, 30, 0, 0), (32, 40, 0, 0)), 720)
    assert [address for address in shown(large, SMALL) if "fill" not in address] == [
        "camera-f/0.m4s",
        "camera-q/3.m4s",
        "camera-f/4.m4s",
    ]


def test_other_codecs_other_sources_and_lone_encodings_stand_by_themselves() -> None:
    large = sized(rendition("camera-f", (0.05, 8, 0, 0), (32, 40, 0, 0)), 720)
    vp9 = replace(SMALL, inits=tuple(replace(i, codec="vp09.00.10.08") for i in SMALL.inits))
    screen = steady("screen-q", 180, 5)
    lone = rendition("screen", (0.05, 8, 0, 0), (32, 40, 0, 0))
    assert not [a for a in shown(large, vp9, screen) if not a.startswith("camera-f/")]
    assert not [a for a in shown(lone, screen) if not a.startswith("screen/")]


def test_a_shared_screen_is_not_hidden_where_only_its_small_layer_arrived() -> None:
    small = steady("screen-q", 360, 5)
    large = sized(rendition("screen-f", (8.5, 16, 0, 0), (24.4, 32, 0, 0), (32, 40, 0, 0)), 1080)
    text = hls.media(lesson(VOICE, small, large), "screen-f")
    assert [(title, address) for _, title, address in entries(text)] == [
        ("nothing", "screen-f/fill-0-4500.m4s"),
        ("", "screen-q/0.m4s"),
        ("", "screen-q/fill-724500-765000.m4s"),
        ("", "screen-f/1.m4s"),
        ("", "screen-f/fill-1440000-1444500.m4s"),
        ("", "screen-q/2.m4s"),
        ("", "screen-q/fill-2164500-2196000.m4s"),
        ("", "screen-f/3.m4s"),
        ("", "screen-f/4.m4s"),
    ]


def test_inside_its_directory_a_playlist_names_the_other_layers_beside_it() -> None:
    large = sized(rendition("camera-f", (8.1, 16, 0, 0)), 720)
    text = hls.media(lesson(VOICE, large, steady("camera-q", 180, 2)), "camera-f", inside=True)
    addresses = [address for _, _, address in entries(text)][:4]
    assert addresses == [
        "fill-0-4500.m4s",
        "../camera-q/0.m4s",
        "../camera-q/fill-724500-729000.m4s",
        "1.m4s",
    ]


pieces = st.lists(
    st.tuples(st.integers(0, 140), st.integers(1, 160), st.booleans()), min_size=1, max_size=10
)


def _of(name: str, height: int, steps: list[tuple[int, int, bool]]) -> RenditionManifest:
    """Stretches with and without holes, cut on the beats as the recorder does."""
    at, out = 0.0, []
    for hole, length, holed in steps:
        at = round(at + (hole / 10 if holed else 0), 3)
        end = round(at + length / 10, 3)
        while at < end:
            until = min(end, (at // BEAT + 1) * BEAT)
            out.append((at, until, 0, 0))
            at = until
    return sized(rendition(name, *out), height)


three = st.tuples(pieces, pieces, pieces)


def _lesson(steps: tuple[list[tuple[int, int, bool]], ...]) -> list[RenditionManifest]:
    sizes = (("camera-q", 180), ("camera-h", 360), ("camera-f", 720))
    return [_of(name, height, some) for (name, height), some in zip(sizes, steps, strict=True)]


@settings(max_examples=150, deadline=None)
@given(three)
def test_every_address_stands_where_its_media_time_is(
    steps: tuple[list[tuple[int, int, bool]], ...],
) -> None:
    layers = _lesson(steps)
    manifest = lesson(VOICE, *layers)
    known = {
        f"{r.name}/{s.beat}-{s.part}.m4s".replace("-0.m4s", ".m4s"): s.start / r.timescale
        for r in layers
        for s in r.segments
    }
    for layer in layers:
        at = 0.0
        for length, _, address in entries(hls.media(manifest, layer.name)):
            assert length > 0
            folder, _, file = address.partition("/")
            filling = parse_fill(file)
            of = manifest.rendition(folder)
            assert of is not None
            if filling is not None:
                assert fits(of, *filling)
                assert abs(filling[0] / of.timescale - at) < 0.03
            else:
                assert abs(known[address] - at) < 0.03
            at += length
        assert abs(at - manifest.duration_ms / 1000) < 0.03 + 8


@settings(max_examples=150, deadline=None)
@given(three)
def test_no_beat_stands_still_where_a_layer_moves(
    steps: tuple[list[tuple[int, int, bool]], ...],
) -> None:
    layers = _lesson(steps)
    manifest = lesson(VOICE, *layers)
    for layer in layers:
        segments = choose(manifest, layer).segments
        for number in range(manifest.duration_ms // 1000 // BEAT):
            start, end = number * BEAT, (number + 1) * BEAT

            def moving(spans: list[tuple[float, float]], a: int = start, b: int = end) -> float:
                return sum(max(0.0, min(e, b) - max(s, a)) for s, e in spans)

            seen = moving([(x.segment.start / 90_000, x.end / 90_000) for x in segments])
            most = max(
                moving([(s.start / 90_000, (s.start + s.duration) / 90_000) for s in one.segments])
                for one in layers
            )
            assert seen >= most - SLACK - 0.001


_MOMENTS: Final = [(0, 1, False)] * 5


@settings(max_examples=100, deadline=None)
@given(three)
# The nearer layer pauses just before it has enough of a beat, and goes on.
@example(
    (
        [(0, 1, False)],
        [(0, 70, False), (0, 160, False)],
        [*_MOMENTS, (0, 16, False), (140, 69, True), (0, 1, False)],
    )
)
def test_a_running_lessons_layers_only_grow(
    steps: tuple[list[tuple[int, int, bool]], ...],
) -> None:
    """Segments are closed in the order of their ends; each layer records on until its last one."""
    layers = _lesson(steps)
    order = sorted(
        ((s.start + s.duration) / r.timescale, r.name, i)
        for r in (*layers, VOICE)
        for i, s in enumerate(r.segments)
    )
    known = {r.name: 0 for r in (*layers, VOICE)}
    before: dict[str, list[str]] = {}
    for time, name, index in order:
        known[name] = index + 1
        cut = [
            replace(r, segments=r.segments[: known[r.name]])
            for r in (*layers, VOICE)
            if known[r.name]
        ]
        # Open: what has begun and is not closed.
        growing = {
            r.name: r.segments[known[r.name]].start / r.timescale
            for r in (*layers, VOICE)
            if known[r.name] < len(r.segments)
            and r.segments[known[r.name]].start / r.timescale < time
        }
        for layer in layers:
            text = hls.media(lesson(*cut, finished=False), layer.name, growing=growing)
            if text is None:
                continue
            now = [address for _, _, address in entries(text)]
            old = before.get(layer.name, [])
            assert now[: len(old)] == old
            before[layer.name] = now
    for layer in layers:
        whole = [a for _, _, a in entries(hls.media(lesson(*layers, VOICE), layer.name))]
        old = before.get(layer.name, [])
        assert whole[: len(old)] == old


def _moments(
    *renditions: RenditionManifest,
) -> Iterator[tuple[list[RenditionManifest], dict[str, float]]]:
    """What the archive says after each opening and closing of a segment: what is whole of each
    rendition, and what grows since when, as a relay reads it from the journal."""
    order = sorted(
        (at / r.timescale, opens, r.name, i)
        for r in renditions
        for i, s in enumerate(r.segments)
        for opens, at in ((True, s.start), (False, s.start + s.duration))
    )
    known = {r.name: 0 for r in renditions}
    growing: dict[str, float] = {}
    whole = 0.0
    for at, opens, name, index in order:
        if opens:
            growing[name] = max(at // BEAT * BEAT, whole)
        else:
            known[name], whole = index + 1, max(whole, at)
            del growing[name]
        cut = [replace(r, segments=r.segments[: known[r.name]]) for r in renditions]
        yield [r for r in cut if r.segments], dict(growing)


LONG: Final = rendition("voice", *((n * 8, n * 8 + 8, 0, 0) for n in range(30)))


@settings(max_examples=100, deadline=None)
@given(three, st.booleans())
# On for a while, off for minutes, and on again in the middle of a beat.
@example(([(0, 120, False), (1_000, 100, True)],) * 3, True)
@example(([(0, 120, False), (1_000, 100, True)],) * 3, False)
def test_a_playlist_only_grows_when_a_source_comes_back(
    steps: tuple[list[tuple[int, int, bool]], ...], lone: bool
) -> None:
    _only_grow([_of("camera", 360, steps[0])] if lone else _lesson(steps))


def test_a_playlist_only_grows_when_a_smaller_layer_is_late_with_its_keyframe() -> None:
    large = sized(rendition("camera-f", (0, 8, 0, 0), (8, 12, 0, 0)), 720)
    small = rendition("camera-h", (0, 8, 0, 0), (8, 12, 0, 0), (77, 95, 0, 0), (95, 96, 0, 0))
    _only_grow([large, sized(small, 360)])


def _only_grow(layers: list[RenditionManifest]) -> None:
    before: dict[str, list[str]] = {}
    for cut, growing in _moments(*layers, LONG):
        for layer in layers:
            text = hls.media(lesson(*cut, finished=False), layer.name, growing=growing)
            now = [address for _, _, address in entries(text)] if text is not None else []
            old = before.get(layer.name, [])
            assert now[: len(old)] == old
            before[layer.name] = now
