"""How many connections a link needs, in virtual time on links that are made up."""

from __future__ import annotations

import pytest

from relay.sync.width import MOST, Width


def settle(
    width: Width, each: float, link: float, queue: float, base: float, seconds: float = 120.0
) -> Width:
    """A link of `link` bytes/s, of which one connection takes `each`; when it is full, a queue of
    `queue` seconds stands before it for each connection too many."""
    now = 0.0
    width.receive_ping(now, base)
    while now < seconds:
        now += 1.0
        wanted = each * width.connections
        width.receive_bytes(round(min(wanted, link)))
        full = max(0.0, wanted - link) / each * queue
        width.receive_ping(now, base + full)
        width.handle_timer(now, True)
    return width


def test_a_lossy_link_is_filled_with_as_many_as_it_needs() -> None:
    width = settle(Width(), each=17_000, link=125_000, queue=0.1, base=0.6)
    assert 7 <= width.connections <= 10
    assert width.rate >= 0.9 * 125_000


def test_a_clean_link_is_full_with_few() -> None:
    width = settle(Width(), each=250_000, link=250_000, queue=0.3, base=0.1)
    assert width.connections <= 3
    assert width.rate == pytest.approx(250_000, rel=0.05)


def test_a_link_that_shows_no_queue_gets_no_more_than_the_most() -> None:
    assert settle(Width(), each=1_000, link=1e9, queue=0.0, base=0.01).connections == MOST


def test_a_rate_cap_adds_none() -> None:
    width = Width()
    for now in range(100):
        width.receive_ping(float(now), 0.1)
        width.receive_bytes(1_000)
        width.handle_timer(float(now), False)
    assert width.connections == 2


def test_a_pause_is_no_slow_link() -> None:
    width = settle(Width(), each=17_000, link=125_000, queue=0.1, base=0.6)
    before = width.rate
    width.pause()
    width.handle_timer(5_000.0, True)
    assert width.rate == before


def test_a_link_that_became_longer_is_no_full_one_for_ever() -> None:
    width = settle(Width(), each=17_000, link=125_000, queue=0.1, base=0.05)
    now = 1_000.0
    for _ in range(900):
        now += 1.0
        width.receive_ping(now, 0.6)
        width.receive_bytes(20_000)
        width.handle_timer(now, True)
    assert width.round_trip == 0.6
    assert width.connections == MOST
