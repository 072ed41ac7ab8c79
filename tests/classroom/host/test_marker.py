"""The frame number survives what happens to a picture: scaling, blur, noise, coding.

And what is no strip is never taken for one with a wrong number that looks right.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from classroom.host import marker
from classroom.host.encoders import VideoEncoder
from classroom.host.test_lesson import CameraPicture
from tests.fakes.whip_server import read_marker

NUMBERS = st.integers(0, (1 << marker.NUMBER_BITS) - 1)


@given(NUMBERS, st.integers(2 * marker.CELLS, 1920))
def test_any_number_is_read_back_at_any_width(number: int, width: int) -> None:
    assert marker.read_row(marker.luma_row(number, width)) == number


def test_numbers_start_again_after_24_bits() -> None:
    assert marker.cells(1 << 24) == marker.cells(0)


@given(NUMBERS, st.integers(-20, 20), st.floats(0.3, 1.0))
def test_brightness_and_contrast_do_not_matter(number: int, shift: int, gain: float) -> None:
    row = [round(128 + gain * (value - 128)) + shift for value in marker.luma_row(number, 320)]
    assert marker.read_row(row) == number


@given(NUMBERS, st.integers(2, 29))
def test_one_wrong_cell_is_noticed(number: int, cell: int) -> None:
    brightness = [200.0 if white else 20.0 for white in marker.cells(number)]
    brightness[cell] = 220.0 - brightness[cell]
    assert marker.read_cells(brightness) is None


@given(st.lists(st.integers(0, 255), max_size=400))
def test_arbitrary_rows_never_fail(row: list[int]) -> None:
    found = marker.read_row(row)
    assert found is None or 0 <= found < 1 << marker.NUMBER_BITS


def test_a_row_without_contrast_has_no_number() -> None:
    assert marker.read_row([120] * 640) is None


def test_the_number_survives_coding_at_the_smallest_layer() -> None:
    encoder = VideoEncoder("h264", 60_000, (320, 180))
    picture = CameraPicture(1280, 720, "small")
    import av

    decoder = av.CodecContext.create("h264", "r")
    numbers = []
    for number in range(5000, 5030):
        for piece in encoder.encode(picture.draw(number, number / 15, 0.0), number / 15):
            for frame in decoder.decode(av.Packet(piece.data)):
                assert (frame.width, frame.height) == (320, 180)
                numbers.append(read_marker(frame))
    assert numbers == list(range(5000, 5000 + len(numbers)))
    assert len(numbers) >= 25
