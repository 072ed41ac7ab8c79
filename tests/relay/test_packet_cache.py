"""The cache of sent packets: what it finds, and each of its three bounds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.media.packet_cache import PacketCache
from tests.relay.fuzzing import FUZZ, STARTS

puts = st.tuples(st.integers(0, 20), st.binary(max_size=30), st.floats(0, 1))


@pytest.mark.parametrize("start", STARTS)
def test_the_last_packets_are_found_across_the_wrap(start: int) -> None:
    cache: PacketCache[bytes] = PacketCache(max_packets=100)
    for step in range(1000):
        cache.put((start + step) & 0xFFFF, b"%d" % step, 4, step * 0.001)
    for step in range(1000):
        found = cache.get((start + step) & 0xFFFF)
        assert found == (b"%d" % step if step >= 900 else None)
    assert len(cache) == 100


def test_bytes_are_bounded() -> None:
    cache: PacketCache[bytes] = PacketCache(max_bytes=1000)
    for seq in range(50):
        cache.put(seq, bytes(100), 100, 0.0)
        assert cache.bytes_held <= 1000
    assert [seq for seq in range(50) if cache.get(seq)] == list(range(40, 50))


def test_age_is_bounded_and_may_change() -> None:
    cache: PacketCache[bytes] = PacketCache(max_age=1.0)
    cache.put(1, b"a", 1, 10.0)
    cache.put(2, b"b", 1, 10.9)
    assert cache.get(1) == b"a"
    cache.put(3, b"c", 1, 11.5)
    assert cache.get(1) is None
    assert cache.get(2) == b"b"
    cache.max_age = 5.0
    cache.put(4, b"d", 1, 15.0)
    assert cache.get(2) == b"b"
    cache.expire(30.0)
    assert len(cache) == cache.bytes_held == 0


def test_a_number_put_again_is_replaced_and_lives_on() -> None:
    cache: PacketCache[bytes] = PacketCache(max_packets=2)
    cache.put(1, b"old", 1, 0.0)
    cache.put(1, b"new", 1, 0.0)
    cache.put(2, b"b", 1, 0.0)
    assert cache.get(1) == b"new"
    cache.put(3, b"c", 1, 0.0)
    assert cache.get(1) is None
    assert cache.bytes_held == 2


def test_clear_leaves_nothing() -> None:
    cache: PacketCache[bytes] = PacketCache()
    cache.put(1, b"a", 1, 0.0)
    cache.clear()
    assert cache.get(1) is None
    assert cache.bytes_held == 0


@FUZZ
@given(st.lists(puts, max_size=60))
def test_bounds_and_counts_hold_for_any_puts(script: list[tuple[int, bytes, float]]) -> None:
    cache: PacketCache[bytes] = PacketCache(max_packets=10, max_bytes=100, max_age=2.0)
    now = 0.0
    last: dict[int, bytes] = {}
    for seq, packet, step in script:
        now += step
        cache.put(seq, packet, len(packet), now)
        last[seq] = packet
        assert cache.get(seq) == packet
        assert len(cache) <= 10
        assert 0 <= cache.bytes_held <= 100
        for known, value in last.items():
            assert cache.get(known) in (None, value)
    cache.expire(now + 10.0)
    assert cache.bytes_held == len(cache) == 0
