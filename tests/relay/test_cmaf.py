"""CMAF: what is recorded is what was sent, frame by frame, as an independent demuxer reads it.

Real encoders, real packets, and FFmpeg's demuxer and decoders as judges; in memory.
"""

from __future__ import annotations

import hashlib
import io
from fractions import Fraction

import av
import pytest
from av.container import InputContainer
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.record.actions import Action, Append, Close, WriteInit
from relay.record.cmaf import STYP, Sample, fragment, init_segment
from relay.record.cmaf_read import scan
from relay.record.lesson import LessonRecorder
from relay.record.sample_entries import opus_entry
from tests.fakes.rtp_media import (
    EPOCH,
    encode_video,
    encode_voice,
    lesson_records,
    nal_units,
    numbered,
    picture,
)


def record(codec: str, seconds: int) -> list[Action]:
    recorder = LessonRecorder("toan-7", beat_ms=4_000, hold=2.0, stored=None)
    actions: list[Action] = []
    for sequence, item in numbered(lesson_records(seconds, codec=codec)):
        recorder.receive("feed", sequence, item)  # type: ignore[arg-type]  # no Hello in the list
        actions += recorder.take_actions()
    recorder.finish(EPOCH + seconds)
    return actions + recorder.take_actions()


def track_file(actions: list[Action], rendition: str) -> bytes:
    """Initialisation segment and all media segments of a rendition, one after the other."""
    init = next(
        a.data for a in actions if isinstance(a, WriteInit) and a.init.rendition == rendition
    )
    return init + b"".join(
        a.data for a in actions if isinstance(a, Append) and a.rendition == rendition
    )


def opened(data: bytes) -> InputContainer:
    container = av.open(io.BytesIO(data))
    assert isinstance(container, InputContainer)
    return container


@pytest.mark.parametrize("codec", ["h264", "vp9", "av1"])
def test_video_is_what_was_sent(codec: str) -> None:
    actions = record(codec, 10)
    sent = encode_video(codec, 300, 60)
    with opened(track_file(actions, "camera")) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height, stream.time_base) == (160, 96, Fraction(1, 90_000))
        packets = [packet for packet in container.demux(stream) if packet.size]
    assert [packet.pts for packet in packets] == [n * 3_000 for n in range(300)]
    assert [packet.is_keyframe for packet in packets] == [frame.key for frame in sent]
    with opened(track_file(actions, "camera")) as container:
        decoded = [frame.to_ndarray()[:96] for frame in container.decode(video=0)]
    assert len(decoded) == 300
    original = picture(150, 160, 96).to_ndarray()[:96].astype(int)
    assert abs(decoded[150].astype(int) - original).mean() < 40
    if codec == "vp9":
        assert [bytes(packet) for packet in packets] == [frame.data for frame in sent]
    if codec == "h264":
        slices = [[u for u in nal_units(f.data) if u[0] & 0x1F in (1, 5)] for f in sent]
        for packet, expected in zip(packets, slices, strict=True):
            assert all(unit in bytes(packet) for unit in expected)


def test_voice_is_what_was_sent() -> None:
    actions = record("vp9", 10)
    with opened(track_file(actions, "voice")) as container:
        stream = container.streams.audio[0]
        assert stream.codec_context.name == "opus"
        assert stream.sample_rate == 48_000
        packets = [packet for packet in container.demux(stream) if packet.size]
    assert [bytes(packet) for packet in packets] == list(encode_voice(500))
    assert [packet.pts for packet in packets] == [n * 960 for n in range(500)]


def test_segments_begin_with_a_key_frame_of_their_beat() -> None:
    actions = record("h264", 10)
    closed = [a.segment for a in actions if isinstance(a, Close)]
    camera = [s for s in closed if s.rendition == "camera"]
    voice = [s for s in closed if s.rendition == "voice"]
    assert [(s.beat, s.start, s.duration) for s in camera] == [
        (0, 0, 360_000),
        (1, 360_000, 360_000),
        (2, 720_000, 180_000),
    ]
    assert [(s.beat, s.start) for s in voice] == [(0, 0), (1, 192_000), (2, 384_000)]
    for segment in closed:
        name = f"{segment.beat}.m4s"
        data = b"".join(
            a.data
            for a in actions
            if isinstance(a, Append) and (a.rendition, a.name) == (segment.rendition, name)
        )
        found = scan(data)
        assert (found.size, found.start) == (len(data), segment.start)
        assert found.samples[0].key
        assert hashlib.sha256(data).hexdigest() == segment.digest
        rate = 48_000 if segment.rendition == "voice" else 90_000
        assert found.fragments == -(-segment.duration // rate)


def test_each_segment_counts_from_one_and_begins_with_its_type() -> None:
    appended = [a for a in record("h264", 10) if isinstance(a, Append) and a.name == "1.m4s"]
    assert appended[0].data.startswith(STYP)
    numbers = [int.from_bytes(a.data[a.data.index(b"mfhd") + 8 :][:4], "big") for a in appended[:4]]
    assert sorted(numbers) == [1, 1, 2, 2]  # of camera and voice


samples = st.lists(
    st.builds(
        Sample, duration=st.integers(1, 90_000), key=st.booleans(), data=st.binary(max_size=40)
    ),
    min_size=1,
    max_size=12,
)


@given(st.lists(samples, min_size=1, max_size=4), st.integers(0, 2**40))
def test_a_scan_reads_back_what_was_written(fragments: list[list[Sample]], start: int) -> None:
    data, time = STYP, start
    for number, each in enumerate(fragments, 1):
        data += fragment(number, time, each)
        time += sum(sample.duration for sample in each)
    found = scan(data)
    assert (found.size, found.fragments, found.start, found.end) == (
        len(data),
        len(fragments),
        start,
        time,
    )
    flat = [sample for each in fragments for sample in each]
    assert [(s.duration, s.key, data[s.offset : s.offset + s.size]) for s in found.samples] == [
        (s.duration, s.key, s.data) for s in flat
    ]


def test_a_tear_at_any_byte_leaves_the_fragments_before_it() -> None:
    first = STYP + fragment(1, 0, [Sample(960, True, b"a" * 30), Sample(900, False, b"b" * 7)])
    second = fragment(2, 1_860, [Sample(960, True, b"c" * 50)])
    for size in range(len(first) + len(second)):
        expected = len(first) if size >= len(first) else 0
        assert scan((first + second)[:size]).size == expected
    torn = first + second[:-20] + bytes(20_000)
    assert scan(torn).size in (len(first), len(first) + len(second))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 300), st.integers(0, 255))
def test_a_scan_of_rubbish_ends_quietly(tail: bytes, at: int, value: int) -> None:
    good = bytearray(STYP + fragment(1, 5, [Sample(1, True, b"x" * 20), Sample(2, False, b"y")]))
    scan(STYP + tail)
    if at < len(good):
        good[at] = value
    assert scan(bytes(good) + tail).size <= len(good) + len(tail)


def test_an_initialisation_segment_says_what_the_voice_is() -> None:
    data = init_segment(opus_entry(2), 48_000)
    with opened(data) as container:
        stream = container.streams.audio[0]
        assert (stream.codec_context.name, stream.channels) == ("opus", 2)
