"""Weak links carry the kernel's own packets as the model says: rate, delay, loss, outages, TCP."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tests.link import WeakLink, joined, weak_link
from tests.link_model import Direction, LinkModel, Queue, Step
from tests.link_presets import Link
from tests.live import networks
from tests.live.networks import Network

ROOM = "10.90.0.2"
SEED = 5


@dataclass(frozen=True, slots=True)
class Arrival:
    """One datagram; times in seconds, size in bytes of the IP packet."""

    number: int
    sent_at: float
    at: float
    size: int


async def _peer(network: Network, *words: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *network.enter,
        *(sys.executable, "-m", "tests.live.link_peer", *words),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )


@asynccontextmanager
async def _listening(weak: WeakLink) -> AsyncIterator[list[Arrival]]:
    """What arrives in the room; complete when the block has been left."""
    arrivals: list[Arrival] = []
    process = await _peer(weak.room, "receive")
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    yield arrivals
    said, _ = await process.communicate(b"")
    arrivals += [Arrival(*one) for one in json.loads(said)]


async def _send(weak: WeakLink, *plan: tuple[int, float, int], to: str = ROOM) -> None:
    sender = await _peer(weak.servers, "send", to, json.dumps(plan))
    await sender.communicate()
    assert sender.returncode == 0


async def _drained(weak: WeakLink) -> None:
    """Until nothing is under way any more."""
    while True:
        down = (await weak.report()).down
        if down.late.total() == down.counts.delivered:
            left = down.counts.sent - down.counts.full - down.counts.lost - down.counts.cut
            if left == down.counts.delivered:
                return
        await asyncio.sleep(0.05)


async def test_rate_delay_and_queue_are_as_asked_and_changes_are_met() -> None:
    like = Link("", Direction(rate=400e3, delay=0.1, queue=Queue(packets=30)), Direction())
    async with joined(like, SEED) as weak:
        async with _listening(weak) as arrivals:
            await _send(weak, (40, 0.0, 1_000))
            await _drained(weak)
            passed = (await weak.report()).down.counts.delivered
            await weak.follow([Step(0.0, 200e3)], [])
            await _send(weak, (10, 0.0, 1_000))
            await _drained(weak)
            await weak.follow([Step(0.0, 50e3)], [])
            await _send(weak, (5, 0.0, 1_000))
            await weak.follow([Step(0.0, 0.0)], [])
            await _drained(weak)
            # As long as two of them would have taken.
            await asyncio.sleep(0.5)
        report = await weak.report()
        down = report.down.counts
        assert (down.sent, down.full + passed, down.lost) == (55, 40, 0)
        assert 0 < down.full < 40
        # What waited for its turn at the end never came.
        assert down.cut > 0
        assert len(arrivals) == down.delivered == 55 - down.full - down.cut
        assert report.down.flows == {"udp": (down.delivered, down.delivered * 1_000)}
        # Nothing passes faster than its rate: a packet takes 20 ms of the link, later 40.
        for burst, took in ((arrivals[:passed], 0.02), (arrivals[passed : passed + 10], 0.04)):
            began = min(arrival.sent_at for arrival in burst)
            for place, arrival in enumerate(burst):
                assert arrival.at - began >= 0.1 + (place + 1) * took - 1e-6
        assert down.wait(0.95) >= 0.2


async def test_losses_are_the_models_own_and_an_outage_cuts_what_falls_into_it() -> None:
    like = Link("", Direction(delay=0.02, loss=0.2, burst=2.0), Direction())
    async with joined(like, SEED) as weak:
        async with _listening(weak) as arrivals:
            await _send(weak, (300, 0.001, 200))
            await _drained(weak)
            away = [Step(0.0, 0.0)]
            await weak.follow(away, away)
            await _send(weak, (30, 0.001, 200))
            back = [Step(0.0, 1e9)]
            await weak.follow(back, back)
            await _send(weak, (100, 0.001, 200))
            await _drained(weak)
        down = (await weak.report()).down.counts
    model = LinkModel(loss=0.2, burst=2.0, seed=2 * SEED)
    fates = [model.send(200, index * 1.0) is not None for index in range(430)]
    # The air goes on changing while the link is away.
    expected = [number for number in range(300) if fates[number]]
    expected += [number for number in range(100) if fates[330 + number]]
    assert [arrival.number for arrival in arrivals] == expected
    assert (down.sent, down.cut, down.delivered) == (430, 30, len(expected))


async def test_two_rooms_have_links_of_their_own_to_the_same_servers() -> None:
    like = Link("", Direction(delay=0.01), Direction())
    async with (
        joined(like, SEED) as first,
        networks.network(beside=first.servers) as room,
        weak_link(first.servers, room, like, SEED, number=1) as second,
    ):
        await second.follow([Step(0.0, 0.0)], [])
        async with _listening(first) as one, _listening(second) as other:
            await _send(first, (5, 0.001, 200))
            await _send(second, (7, 0.001, 200), to="10.90.1.2")
            await second.follow([Step(0.0, 1e6)], [])
            await _send(second, (2, 0.001, 200), to="10.90.1.2")
            await _drained(first)
            await _drained(second)
        assert (len(one), len(other)) == (5, 2)
        # Both know the servers by one address.
        sender = await _peer(room, "send", networks.SERVERS, json.dumps([(3, 0.001, 200)]))
        await sender.communicate()
        assert (await second.report()).up.counts.sent == 3


async def test_tcp_gets_through_a_link_that_loses() -> None:
    like = Direction(rate=2e6, delay=0.02, jitter=0.005, loss=0.02, queue=Queue(size=15_000))
    async with joined(Link("", like, like), SEED) as weak:
        async with _listening(weak):
            sender = await _peer(weak.servers, "transfer", ROOM, "150000")
            said, _ = await sender.communicate()
        assert json.loads(said) is True
        report = await weak.report()
        assert report.down.flows["tcp"][1] > 150_000
        assert report.down.counts.lost > 0
