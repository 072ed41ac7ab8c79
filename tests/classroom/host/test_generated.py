"""The generated lesson: letters that can be read, a voice that tells its seconds apart, encoders
that keep time over gaps and make keyframes when they are asked for and by themselves."""

from __future__ import annotations

import itertools

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from classroom.host import glyphs, voice
from classroom.host.encoders import KEYFRAME_S, VOICE_GAP_S, VideoEncoder, VoiceEncoder, fit
from classroom.host.test_lesson import CameraPicture, SlidePicture, sound
from tests.fakes.whip_server import read_marker


@given(st.text(max_size=40), st.integers(1, 4))
def test_any_text_becomes_rows_of_one_width(text: str, scale: int) -> None:
    rows = glyphs.text_rows(text, scale, 235, 16)
    assert len(rows) == 7 * scale
    assert {len(row) for row in rows} == {len(glyphs.plain(text)) * 6 * scale}


def test_vietnamese_is_written_without_accents() -> None:
    assert glyphs.plain("Đại số lớp 9") == "DAI SO LOP 9"


def test_each_second_of_the_voice_is_its_own() -> None:
    seconds = [voice.second(number) for number in range(100)]
    assert len(set(seconds)) == 100
    assert {len(second) for second in seconds} == {2 * voice.RATE}
    assert voice.second(100) == voice.second(0)


def test_the_voice_is_loud_and_never_clipped() -> None:
    samples = np.frombuffer(b"".join(map(voice.second, range(10))), np.int16)
    assert 0.3 * 32767 < np.max(np.abs(samples)) < 0.9 * 32767


def test_camera_and_slides_carry_their_numbers() -> None:
    assert read_marker(CameraPicture(1280, 720, "a").draw(77, 3.0, 0.0)) == 77
    assert read_marker(SlidePicture(1280, 720, "a").draw(78, 25.0)) == 78
    assert read_marker(CameraPicture(322, 182, "odd strides").draw(79, 3.0, 0.0)) == 79


def test_slides_change_and_stay() -> None:
    slides = SlidePicture(640, 360, "a")
    first, same, other = (bytes(slides.draw(1, time).planes[0]) for time in (0.0, 9.9, 10.0))
    assert first == same != other


def test_voice_pieces_are_20_ms_apart_whatever_the_block_size() -> None:
    encoder = VoiceEncoder(32_000)
    pieces = [piece for block in range(100) for piece in encoder.encode(sound(block), block / 50)]
    gaps = {round(b.time - a.time, 6) for a, b in itertools.pairwise(pieces)}
    assert gaps == {0.02}
    assert pieces[0].time == 0.0
    assert len(pieces) >= 97


def test_a_gap_in_the_voice_stays_a_gap() -> None:
    encoder = VoiceEncoder(32_000)
    before = [piece for block in range(50) for piece in encoder.encode(sound(block), block / 50)]
    after = [piece for block in range(50) for piece in encoder.encode(sound(block), 5 + block / 50)]
    assert before[-1].time < 1.0
    assert after[-1].time == pytest.approx(5.96, abs=0.05)
    times = [piece.time for piece in before + after]
    assert times == sorted(times)


@pytest.mark.parametrize("ppm", [5000, -5000])
def test_a_sound_card_whose_clock_is_wrong_stays_with_the_picture(ppm: int) -> None:
    encoder = VoiceEncoder(32_000)
    step = 0.02 / (1 + ppm / 1e6)
    behind, times = [], []
    for block in range(2_000):
        for piece in encoder.encode(sound(block), block * step):
            behind.append(piece.time - block * step)
            times.append(piece.time)
    assert max(map(abs, behind)) < VOICE_GAP_S + 0.025
    assert min(after - before for before, after in itertools.pairwise(times)) > 0.019
    left_out = 2_000 - len(times)
    assert left_out == (pytest.approx(7, abs=2) if ppm > 0 else pytest.approx(0, abs=2))


def _second_of(form: str, layout: str, rate: int) -> av.AudioFrame:
    frame = av.AudioFrame(form, layout, rate)
    frame.sample_rate = rate
    for plane in frame.planes:
        memoryview(plane)[:] = bytes(plane.buffer_size)
    return frame


def test_any_sound_format_becomes_opus() -> None:
    encoder = VoiceEncoder(32_000)
    assert len(encoder.encode(_second_of("fltp", "5.1", 44_100), 0.0)) >= 48


def test_a_sound_format_that_changes_is_heard_on() -> None:
    encoder = VoiceEncoder(32_000)
    forms = [("fltp", "stereo", 44_100), ("fltp", "mono", 44_100), ("s16", "mono", 16_000)]
    pieces = [
        piece
        for second, form in enumerate(forms * 10)
        for piece in encoder.encode(_second_of(*form), float(second))
    ]
    times = [piece.time for piece in pieces]
    assert len(pieces) > 30 * 48
    assert min(after - before for before, after in itertools.pairwise(times)) > 0.019
    assert times[-1] == pytest.approx(29.96, abs=0.1), "what each change costs does not add up"


@pytest.mark.parametrize("codec", ["h264", "vp8"])
def test_keyframes_come_by_themselves_and_on_request(codec: str) -> None:
    encoder = VideoEncoder("h264" if codec == "h264" else "vp8", 200_000, (320, 180))
    picture = CameraPicture(320, 180, "keys")
    keys = []
    for number in range(100):
        if number == 25:
            encoder.request_keyframe()
        for piece in encoder.encode(picture.draw(number, number / 10, 0.0), number / 10):
            if piece.keyframe:
                keys.append(round(piece.time, 3))
    assert keys == [0.0, 2.5, 2.5 + KEYFRAME_S]


def test_pictures_that_come_too_fast_are_thinned() -> None:
    encoder = VideoEncoder("h264", 200_000, (320, 180))
    picture = CameraPicture(320, 180, "fast").draw(0, 0.0, 0.0)
    pieces = [piece for n in range(120) for piece in encoder.encode(picture, n / 120)]
    assert 25 <= len(pieces) <= 34


@given(st.integers(2, 8000), st.integers(2, 8000))
def test_a_picture_fits_and_keeps_its_sides_even(width: int, height: int) -> None:
    fitted = fit(width, height, (1280, 720))
    assert fitted[0] <= 1280
    assert fitted[1] <= 720
    assert fitted[0] % 2 == fitted[1] % 2 == 0
