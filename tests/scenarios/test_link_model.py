"""The model of a link does what it was asked: rate, delay, queue, loss, bursts, steps, outages."""

from __future__ import annotations

import argparse
import itertools
import math
import re
import sys
from dataclasses import replace

import pytest

from tests import link as link_command
from tests import link_arguments
from tests.link_model import Direction, LinkModel, Queue, Step, by_bytes, outage
from tests.link_presets import PRESETS, QUEUES, SCENARIOS, Link

SIZE = 1_250  # bytes: 10,000 bits


def _saturate(link: LinkModel, seconds: float, gap: float = 0.002) -> list[float]:
    """Arrivals of packets that come every `gap` s."""
    arrivals = (link.send(SIZE, index * gap) for index in range(round(seconds / gap)))
    return [arrival for arrival in arrivals if arrival is not None]


def test_a_single_packet_takes_its_own_time_and_the_delay() -> None:
    assert LinkModel(rate=1e6, delay=0.1).send(SIZE, 5.0) == pytest.approx(5.0 + 0.01 + 0.1)
    assert LinkModel().send(SIZE, 5.0) == 5.0


def test_a_full_link_carries_its_rate() -> None:
    arrivals = _saturate(LinkModel(rate=500e3, delay=0.2), 60.0)
    assert len(arrivals) * SIZE * 8 / (arrivals[-1] - arrivals[0]) == pytest.approx(500e3, rel=0.01)
    gaps = {round(b - a, 9) for a, b in itertools.pairwise(arrivals)}
    assert gaps == {0.02}


def test_a_queue_of_packets_counts_small_ones_like_large_ones() -> None:
    link = LinkModel(rate=100e3, queue=Queue(packets=10))
    taken = [link.send(100 if index % 2 else SIZE, 0.0) is not None for index in range(20)]
    assert taken == [True] * 10 + [False] * 10
    assert link.settle(0.0).full == 10


def test_a_queue_of_bytes_takes_small_packets_after_it_refused_large_ones() -> None:
    link = LinkModel(rate=100e3, queue=Queue(size=3_000))
    sizes = [SIZE, SIZE, SIZE, 400, 400]
    assert [link.send(size, 0.0) is not None for size in sizes] == [True, True, False, True, False]
    # The first is out after 0.1 s, and what waits is 1,650 bytes.
    assert link.send(SIZE, 0.1001) is not None


def test_a_standing_queue_delays_by_what_is_in_it_and_counts_the_waits() -> None:
    link = LinkModel(rate=1e6, delay=0.05, queue=Queue(packets=5))
    passages = [link.plan(SIZE, 0.0) for _ in range(5)]
    arrivals = [passage.arrival for passage in passages if passage is not None]
    assert arrivals == pytest.approx([0.06, 0.07, 0.08, 0.09, 0.10])
    counts = link.settle(1.0)
    assert counts.waits == {0: 1, 10: 1, 20: 1, 30: 1, 40: 1}
    assert (counts.wait(0.5), counts.wait(0.95), counts.wait(0.2)) == (0.02, 0.04, 0.0)


def test_half_a_second_waits_in_a_queue_of_bytes() -> None:
    link = LinkModel(rate=1e6, queue=by_bytes(1e6))
    _saturate(link, 20.0)
    assert 0.47 <= link.settle(100.0).wait(0.95) <= 0.5


@pytest.mark.parametrize("asked", [0.005, 0.03, 0.05, 0.15])
def test_random_loss_is_as_asked_and_falls_anywhere(asked: float) -> None:
    link = LinkModel(loss=asked, seed=4)
    fates = [link.send(100, index * 0.01) is None for index in range(20_000)]
    assert sum(fates) / len(fates) == pytest.approx(asked, rel=0.15)
    assert _mean_burst(fates) == pytest.approx(1.0 / (1.0 - asked), rel=0.05)
    assert link.settle(1e6).lost == sum(fates)


@pytest.mark.parametrize(("loss", "burst"), [(0.05, 8.0), (0.02, 3.0), (0.1, 1.0)])
def test_bursts_are_as_long_and_as_frequent_as_asked(loss: float, burst: float) -> None:
    link = LinkModel(loss=loss, burst=burst, seed=9)
    fates = [link.send(100, index * 0.01) is None for index in range(40_000)]
    assert sum(fates) / len(fates) == pytest.approx(loss, rel=0.15)
    assert _mean_burst(fates) == pytest.approx(burst, rel=0.15)


def _mean_burst(fates: list[bool]) -> float:
    lengths = [len(list(group)) for lost, group in itertools.groupby(fates) if lost]
    return sum(lengths) / len(lengths)


def test_jitter_spreads_arrivals_and_lets_none_overtake() -> None:
    sent = [index * 0.02 for index in range(5_000)]
    calm = LinkModel(delay=0.15, jitter=0.03, seed=1)
    arrivals = [calm.send(200, at) or 0.0 for at in sent]
    assert arrivals == sorted(arrivals)
    spread = [arrival - at for arrival, at in zip(arrivals, sent, strict=True)]
    assert min(spread) >= 0.12
    assert max(spread) <= 0.18
    assert max(spread) - min(spread) > 0.05
    wild = LinkModel(delay=0.15, jitter=0.03, seed=1, reorder=True)
    mixed = [wild.send(200, at) or 0.0 for at in sent]
    assert mixed != sorted(mixed)


def test_the_same_seed_makes_the_same_link_and_another_seed_another() -> None:
    def fates(seed: int) -> list[float | None]:
        link = LinkModel.of(PRESETS["storm"].down, seed)
        return [link.send(200 + index % 900, index * 0.01) for index in range(2_000)]

    assert fates(3) == fates(3)
    assert fates(3) != fates(4)


def test_a_step_of_the_rate_is_met_in_the_middle_of_a_packet() -> None:
    link = LinkModel(rate=1e6, script=(Step(0.005, 100e3), Step(1.0, 1e6)))
    # Half of it at 1 Mbit/s, the rest at 100 kbit/s.
    assert link.send(SIZE, 0.0) == pytest.approx(0.005 + 0.05)
    assert link.send(SIZE, 2.0) == pytest.approx(2.01)
    assert (link.rate(0.0), link.rate(0.5), link.rate(1.0)) == (1e6, 100e3, 1e6)


def test_an_outage_loses_what_waits_and_what_is_sent_in_it() -> None:
    link = LinkModel(rate=100e3, delay=0.1, script=outage(1.0, 15.0, 100e3))
    before = [link.send(SIZE, 0.85), link.send(SIZE, 0.85)]
    assert before == [pytest.approx(1.05), None]
    assert [link.send(SIZE, at) for at in (1.0, 9.0, 15.9)] == [None] * 3
    assert link.send(SIZE, 16.0) == pytest.approx(16.2)
    counts = link.settle(20.0)
    assert (counts.sent, counts.delivered, counts.cut) == (6, 2, 4)


def test_what_waits_is_planned_anew_when_the_link_changes() -> None:
    link = LinkModel(rate=1e6)
    passages = [passage for _ in range(3) if (passage := link.plan(SIZE, 0.0)) is not None]
    link.follow((Step(0.0, 100e3),), 0.015)
    assert [passage.arrival for passage in passages] == pytest.approx([0.01, 0.065, 0.165])
    link.follow((Step(0.0, 0.0), Step(5.0, 1e6)), 0.1)
    assert [passage.arrival for passage in passages] == [
        *(pytest.approx(0.01), pytest.approx(0.065), None)
    ]
    assert link.send(SIZE, 4.0) is None
    assert link.send(SIZE, 5.1) == pytest.approx(5.11)
    link.become(Direction(rate=2e6, delay=0.3), 6.0)
    assert link.send(SIZE, 6.0) == pytest.approx(6.305)


def test_what_waits_arrives_sooner_when_the_link_becomes_faster() -> None:
    link = LinkModel(rate=100e3)
    passages = [passage for _ in range(3) if (passage := link.plan(SIZE, 0.0)) is not None]
    link.follow((Step(0.0, 1e6),), 0.15)
    assert [passage.arrival for passage in passages] == pytest.approx([0.1, 0.155, 0.165])


def test_counts_of_a_window() -> None:
    link = LinkModel(rate=1e6, queue=Queue(packets=2))
    for _ in range(3):
        link.send(SIZE, 0.0)
    earlier = link.settle(1.0).copy()
    link.send(SIZE, 1.0)
    window = link.settle(2.0).since(earlier)
    assert (window.sent, window.delivered_bytes, window.full) == (1, SIZE, 0)
    assert window.waits == {0: 1}
    assert earlier.full == 1


@pytest.mark.parametrize("name", [*PRESETS, *SCENARIOS])
@pytest.mark.parametrize("queue", QUEUES)
def test_every_named_link_carries_what_it_says(name: str, queue: str) -> None:
    named = (PRESETS | SCENARIOS)[name].calm().queued(queue)
    for like in (named.down, named.up):
        bare = replace(like, loss=0.0, burst=0.0)
        rate = min(like.rate, 60e6)
        gap = SIZE * 8 / rate * 0.8
        arrivals = _saturate(LinkModel.of(bare), 400 * gap, gap)
        carried = (len(arrivals) - 1) * SIZE * 8 / (arrivals[-1] - arrivals[0])
        assert carried == pytest.approx(rate if like.rate == rate else rate / 0.8, rel=0.1)


@pytest.mark.parametrize(
    ("loss", "burst", "words"),
    [
        (0.1, 0.5, "give 1 or more"),
        (0.1, -3.0, "give 1 or more"),
        (0.1, math.inf, "give 1 or more"),
        (0.1, math.nan, "give 1 or more"),
        (1.0, 4.0, "a loss of 80.0% at most, not 100.0%"),
        (0.6, 1.0, "a loss of 50.0% at most, not 60.0%"),
        (1.5, 0.0, "between 0 and 1"),
        (-0.1, 0.0, "between 0 and 1"),
        (math.nan, 0.0, "between 0 and 1"),
    ],
)
def test_a_link_that_cannot_be_is_refused_before_it_runs(
    loss: float, burst: float, words: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        Direction(loss=loss, burst=burst)
    with pytest.raises(ValueError, match=re.escape(words)):
        replace(PRESETS["storm"].down, loss=loss, burst=burst)
    with pytest.raises(ValueError, match=re.escape(words)):
        LinkModel(loss=loss, burst=burst)


def test_the_most_that_bursts_can_lose_is_lost() -> None:
    link = LinkModel(seed=3)
    link.become(Direction(loss=0.8, burst=4.0), 0.0)
    fates = [link.send(100, index * 0.01) is None for index in range(20_000)]
    assert sum(fates) / len(fates) == pytest.approx(0.8, rel=0.02)
    gone = LinkModel(loss=1.0)
    assert [gone.send(100, index * 0.01) for index in range(100)] == [None] * 100


def test_an_unknown_queue_is_refused() -> None:
    with pytest.raises(ValueError, match="packets or bytes"):
        PRESETS["edge"].queued("coins")


def _chosen(*words: str) -> Link:
    parser = argparse.ArgumentParser()
    link_arguments.add_arguments(parser)
    return link_arguments.chosen(parser.parse_args(words))


def test_a_command_line_names_a_link_and_changes_it() -> None:
    link = _chosen(
        *("--preset", "vsat", "--queue", "bytes", "--rate", "300", "--loss", "5", "--delay", "150"),
        *("--fall", "30:15:0", "--fall", "60:5:200"),
    )
    vsat = PRESETS["vsat"]
    assert link.down == Direction(
        *(300e3, 0.15, vsat.down.jitter, 0.05, 0.0, by_bytes(300e3)),
        script=(*outage(30.0, 15.0, 300e3), Step(60.0, 200e3), Step(65.0, 300e3)),
    )
    # No direction becomes faster than it is.
    assert link.up.script[2] == Step(60.0, vsat.up.rate)
    with pytest.raises(ValueError, match="there is no link moon"):
        _chosen("--preset", "moon")
    with pytest.raises(ValueError, match="AT:SECONDS:KBIT"):
        _chosen("--fall", "30:15")


@pytest.mark.parametrize(
    "words", [("--loss", "100", "--burst", "8"), ("--burst", "0.5"), ("--loss", "101")]
)
def test_a_command_line_that_asks_for_no_link_that_can_be_hears_so_in_a_sentence(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["tests.link", *words, "--", "true"])
    assert link_command.main() == 2
    said = capsys.readouterr().err
    assert said.startswith("tests.link: ")
    assert said.count("\n") == 1
    assert "Traceback" not in said


def test_a_loss_and_a_burst_that_go_together_alone_are_taken_together() -> None:
    # This link has bursts of 4, which cannot lose everything.
    assert _chosen("--preset", "4g-hill", "--loss", "100", "--burst", "0").down.loss == 1.0
    assert _chosen("--preset", "vsat", "--loss", "90", "--burst", "20").down.burst == 20.0
