"""Offers that come packed: unfolded to a bound, each fault by its name."""

from __future__ import annotations

import gzip
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classroom.errors import Refused
from relay.web.signalling import MAX_BODY, unpack
from tests.relay.fuzzing import FUZZ
from tests.relay.offers import OFFERS, ROOM


def test_an_offer_comes_out_as_it_was_and_was_much_smaller() -> None:
    offer = OFFERS[ROOM].encode()
    packed = gzip.compress(offer)
    assert unpack(packed) == offer
    assert len(packed) < len(offer) / 3
    assert len(unpack(gzip.compress(bytes(MAX_BODY)))) == MAX_BODY


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"", 400),
        (b"v=0\r\n", 400),
        (gzip.compress(b"v=0\r\n")[:-1], 400),
        (gzip.compress(bytes(MAX_BODY + 1)), 413),
        (gzip.compress(bytes(100_000_000)), 413),
    ],
)
def test_what_is_no_offer_is_refused(data: bytes, status: int) -> None:
    with pytest.raises(Refused) as caught:
        unpack(data)
    assert caught.value.status == status


@FUZZ
@given(st.binary(max_size=400), st.integers(0, 60))
def test_only_refusals_leave(data: bytes, at: int) -> None:
    packed = gzip.compress(OFFERS[ROOM].encode())
    for one in (data, packed[:at] + data + packed[at:]):
        with suppress(Refused):
            assert len(unpack(one)) <= MAX_BODY
