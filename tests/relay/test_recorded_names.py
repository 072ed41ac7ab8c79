"""Names of recorded files, as requests and directories bring them: one name for each, or none.

Here: the three readers under any text. What they stand for is tested with the archive.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from classroom.archive import names
from relay.record.fill import fill_name, parse_fill

LAST_BEAT = 10**9 - 1  # names have nine digits for a beat: 63 years of the shortest ones
NUMBER = st.integers(0, 10**14).map(str) | st.text("0123456789٣-+_ ", max_size=6)
PARTS = st.lists(NUMBER | st.sampled_from(["-", "init-", "fill-", ".m4s", ".mp4", "\n", "/"]))
NAMES = PARTS.map("".join) | st.text(max_size=40)
NEAR = st.builds(
    "{}{}{}{}{}".format,
    st.sampled_from(["", "init-", "fill-"]),
    NUMBER,
    st.sampled_from(["", "-"]),
    NUMBER,
    st.sampled_from([".m4s", ".mp4", ".m4s\n"]),
)


@settings(max_examples=300, deadline=None)
@given(NAMES | NEAR)
def test_a_name_that_is_understood_is_the_only_one_of_its_file(name: str) -> None:
    beat = names.parse_segment(name)
    assert beat is None or names.segment_name(*beat) == name
    number = names.parse_init(name)
    assert number is None or names.init_name(number) == name
    stretch = parse_fill(name)
    assert stretch is None or fill_name(*stretch) == name


@settings(max_examples=100, deadline=None)
@given(st.integers(0, LAST_BEAT), st.integers(0, 99), st.integers(1, 10**9))
def test_each_file_is_found_by_its_name(start: int, part: int, length: int) -> None:
    assert names.parse_segment(names.segment_name(start, part)) == (start, part)
    assert names.parse_init(names.init_name(part)) == part
    assert parse_fill(fill_name(start, start + length)) == (start, start + length)
