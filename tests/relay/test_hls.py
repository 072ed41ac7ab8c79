"""Playlists: one timeline for all of them, whatever is missing, and only growth while it runs.

Pure: manifests in, text out. Real playback is in tests/live/test_replay.py.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classroom.archive.journal import Init, Segment
from classroom.archive.manifest import Manifest, RenditionManifest
from relay.record import hls, hls_master
from relay.record.cmaf_read import scan
from relay.record.fill import fill, fits, model, parse_fill

GOLDEN = Path(__file__).parent.parent / "vectors" / "archive" / "toan-7-golden"
HEX = "0" * 64
RATE = {"voice": 48_000}


def rendition(name: str, *spans: tuple[float, float, int, int]) -> RenditionManifest:
    """spans: (start, end, init, take) in seconds."""
    ticks = RATE.get(name, 90_000)
    voice = name == "voice"
    inits = tuple(
        Init(
            name,
            n,
            "opus" if voice else "avc1.42e01f",
            0 if voice else 640,
            0 if voice else 360,
            2 if voice else 0,
            600,
            HEX,
            "opus" if voice else "h264",
        )
        for n in sorted({span[2] for span in spans})
    )
    segments: list[Segment] = []
    for start, end, init, take in spans:
        beat = int(start // 8)
        part = sum(s.beat == beat for s in segments)
        first, last = round(start * ticks), round(end * ticks)
        size = round((end - start) * (4_000 if voice else 100_000))
        segments.append(Segment(name, beat, part, init, take, first, last - first, 240, size, HEX))
    return RenditionManifest(name, ticks, inits, tuple(segments), ())


def lesson(*renditions: RenditionManifest, finished: bool = True) -> Manifest:
    order = tuple(sorted(renditions, key=lambda r: r.name))
    return Manifest("toan-7", 1_760_000_000_000, 8_000, finished, order)


def entries(text: str | None) -> list[tuple[float, str, str]]:
    """(length, title, address) of each entry."""
    assert text is not None
    found = re.findall(r"#EXTINF:([\d.]+),(.*)\n(.+)\n", text)
    return [(float(length), title, address) for length, title, address in found]


VOICE = rendition("voice", *((n * 8, n * 8 + 8, 0, 0) for n in range(5)))


def test_every_playlist_begins_at_zero_and_ends_with_the_lesson() -> None:
    camera = rendition("camera-f", (0.4, 8.1, 0, 0), (8.1, 16.03, 0, 0))
    screen = rendition("screen", (18.25, 24.02, 0, 0), (24.02, 30, 0, 0))
    manifest = lesson(VOICE, camera, screen)
    assert entries(hls.media(manifest, "camera-f")) == [
        (0.4, "nothing", "camera-f/fill-0-36000.m4s"),
        (7.7, "", "camera-f/0.m4s"),
        (7.93, "", "camera-f/1.m4s"),
        (7.97, "nothing", "camera-f/fill-1442700-2160000.m4s"),
        (8.0, "nothing", "camera-f/fill-2160000-2880000.m4s"),
        (8.0, "nothing", "camera-f/fill-2880000-3600000.m4s"),
    ]
    shown = entries(hls.media(manifest, "screen"))
    assert [(length, title) for length, title, _ in shown] == [
        (8.0, "nothing"),
        (8.0, "nothing"),
        (2.25, "nothing"),
        (5.77, ""),
        (5.98, ""),
    ]
    assert sum(length for length, _, _ in shown) == 30.0
    assert [title for _, title, _ in entries(hls.media(manifest, "voice"))] == [""] * 5


@pytest.mark.parametrize("first", [0, 900_000])
def test_a_publisher_is_told_apart_from_the_one_before(first: int) -> None:
    """first: its number, which a relay below another gave it before it was told the right one."""
    takes = (first, first, 1, 1, 2)
    voice = rendition("voice", *((n * 8, n * 8 + 8, 0, take) for n, take in enumerate(takes)))
    text = hls.media(lesson(voice), "voice")
    assert text is not None
    order = re.findall(r"#EXT-X-DISCONTINUITY\n|voice/\d\.m4s", text)
    assert [item.rstrip("\n").rpartition("/")[2] for item in order] == [
        *("0.m4s", "1.m4s"),
        *("#EXT-X-DISCONTINUITY", "2.m4s", "3.m4s"),
        *("#EXT-X-DISCONTINUITY", "4.m4s"),
    ]


def test_a_time_when_nobody_was_there_is_told_apart() -> None:
    voice = rendition("voice", (0, 8, 0, 0), (48, 56, 0, 1))
    camera = rendition("camera-f", (0, 10, 0, 0), (48.2, 56, 1, 1))
    text = hls.media(lesson(voice, camera), "voice")
    assert [(length, title) for length, title, _ in entries(text)] == [
        (8.0, ""),
        (8.0, "nothing"),
        (8.0, "away"),
        (8.0, "away"),
        (8.0, "away"),
        (8.0, "away"),
        (8.0, ""),
    ]
    text = hls.media(lesson(voice, camera), "camera-f")
    assert text is not None
    assert text.index("#EXT-X-DISCONTINUITY") < text.index('#EXT-X-MAP:URI="camera-f/init-1.mp4"')
    assert text.count("#EXT-X-DISCONTINUITY") == 1
    assert text.count("#EXT-X-PROGRAM-DATE-TIME") == 2
    assert "#EXT-X-PROGRAM-DATE-TIME:2025-10-09T08:53:20.000Z" in text


def test_masters_list_what_there_is_with_real_rates() -> None:
    camera = rendition("camera-f", (0, 8, 0, 0), (8, 16, 0, 0))
    small = rendition("camera-q", (0, 16, 0, 0))
    text = hls_master.master(lesson(VOICE, camera, small), "camera", "a b")
    assert text is not None
    assert (
        '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="voice",NAME="voice",DEFAULT=YES,AUTOSELECT=YES,'
        'CHANNELS="2",URI="voice.m3u8?token=a%20b"\n' in text
    )
    assert (
        "#EXT-X-STREAM-INF:BANDWIDTH=832000,AVERAGE-BANDWIDTH=832000,"
        'CODECS="avc1.42e01f,opus",RESOLUTION=640x360,FRAME-RATE=30.000,AUDIO="voice"\n'
        "camera-f.m3u8?token=a%20b\n" in text
    )
    assert hls_master.master(lesson(VOICE, camera), "screen") is None
    alone = hls_master.master(lesson(VOICE), "camera")
    assert alone is not None
    assert 'CODECS="opus"\nvoice.m3u8\n' in alone
    silent = hls_master.master(lesson(rendition("screen", (0, 8, 0, 0))), "screen")
    assert silent is not None
    assert "AUDIO" not in silent
    assert "screen/index.m3u8\n" in silent


def test_the_token_goes_to_every_address() -> None:
    text = hls.media(lesson(VOICE), "voice", "t&k")
    assert text is not None
    addresses = re.findall(r'(?:URI="|\n)(voice/[^"\n]+)', text)
    assert len(addresses) == 6
    assert all(address.endswith("?token=t%26k") for address in addresses)


spans = st.lists(
    st.tuples(st.integers(0, 400), st.integers(1, 120), st.booleans()), min_size=1, max_size=12
)


def _of(name: str, steps: list[tuple[int, int, bool]], take_every: int) -> RenditionManifest:
    at, out = 0.0, []
    for index, (hole, length, holed) in enumerate(steps):
        at += hole / 10 if holed else 0
        out.append((at, at + length / 10, index // 3, index // take_every))
        at += length / 10
    return rendition(name, *out)


@settings(max_examples=100, deadline=None)
@given(spans, spans, st.integers(1, 20), st.sampled_from(["camera-f", "screen-f", "voice"]))
def test_lengths_always_add_up_to_media_time(
    one: list[tuple[int, int, bool]],
    two: list[tuple[int, int, bool]],
    take_every: int,
    name: str,
) -> None:
    parts = {"voice": _of("voice", one, take_every), "camera-f": _of("camera-f", two, take_every)}
    parts.setdefault(name, _of(name, two, take_every))
    manifest = lesson(*parts.values())
    text = hls.media(manifest, name)
    listed = parts[name]
    at = 0.0
    places: dict[str, float] = {}
    for length, _, address in entries(text):
        places[address] = at
        assert length > 0
        at += length
        filling = parse_fill(address.split("/")[1])
        if filling is not None:
            assert fits(listed, *filling)
    for segment in listed.segments:
        file = f"{name}/{segment.beat}-{segment.part}.m4s".replace("-0.m4s", ".m4s")
        # A hole shorter than two hundredths is stepped over.
        assert abs(places[file] - segment.start / listed.timescale) < 0.001


@settings(max_examples=60, deadline=None)
@given(spans, spans)
def test_a_running_lessons_playlist_only_grows(
    one: list[tuple[int, int, bool]], two: list[tuple[int, int, bool]]
) -> None:
    """Segments of voice and camera appear in the order of their ends, as they do in a lesson."""
    voice, camera = _of("voice", one, 99), _of("camera-f", two, 99)
    order = sorted(
        ((s.start + s.duration) / r.timescale, r.name, i)
        for r in (voice, camera)
        for i, s in enumerate(r.segments)
    )
    before: list[tuple[float, str, str]] = []
    known = {"voice": 0, "camera-f": 0}
    for _, name, index in order:
        known[name] = index + 1
        cut = [
            RenditionManifest(r.name, r.timescale, r.inits, r.segments[: known[r.name]], ())
            for r in (voice, camera)
            if known[r.name]
        ]
        # The camera records on: a segment of it is always growing.
        text = hls.media(lesson(*cut, finished=False), "camera-f", growing={"camera-f": 0.0})
        if text is None:
            continue
        assert "#EXT-X-PLAYLIST-TYPE:EVENT" in text
        assert "#EXT-X-ENDLIST" not in text
        now = entries(text)
        # The last segment's length is settled when the next one is there.
        assert [a for _, _, a in now][: len(before)] == [a for _, _, a in before]
        before = now


def test_fillings_are_segments_of_the_model_s_picture_or_of_silence() -> None:
    manifest = Manifest.decode((GOLDEN / "manifest.json").read_bytes())
    camera, voice = manifest.rendition("camera-q"), manifest.rendition("voice")
    assert camera is not None
    assert voice is not None
    segment = model(camera, 300_000)
    assert (segment.beat, segment.init) == (1, 0)
    data = (GOLDEN / "camera-q" / "1.m4s").read_bytes()
    held = fill(data, 270_000, 450_000, name="camera-f")
    assert held is not None
    found = scan(held)
    assert [(s.start, s.duration, s.key) for s in found.samples] == [(270_000, 180_000, True)]
    first = scan(data).samples[0]
    assert held.endswith(data[first.offset : first.offset + first.size])
    silence = fill((GOLDEN / "voice" / "0.m4s").read_bytes(), 1_000, 49_500, name="voice")
    assert silence is not None
    assert (scan(silence).start, scan(silence).end) == (1_000, 49_500)
    assert fill(b"no segment", 0, 5, name="voice") is None
    assert not fits(voice, 0, 10)
    assert not fits(camera, 10, 10)
    assert fits(camera, 270_000, 450_000)
    assert not fits(camera, 720_000, 720_000 + 121 * 90_000)
    for bad in ("fill-1-2.mp4", "fill--1-2.m4s", "fill-1-0.m4s", "fill-01-2.m4s"):
        assert parse_fill(bad) is None
