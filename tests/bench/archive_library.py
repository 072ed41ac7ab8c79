"""A library of 15,000 lessons at a school's relay and at the central school.

Real processes are asked over HTTP on loopback: the first page, later pages and searches, as pages
ask. Then again, and beside them somebody asks for `/healthz` all the time: what that waits longer
than alone is how long the event loop was held up. Memory is looked at before and after thousands of
requests.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import aiohttp

from classroom.accounts import LinkOrder, claims_for
from classroom.clock import monotonic, wall
from classroom.store import load_or_create_key
from classroom.tokens import Role, Signer
from tests.bench.figures import Figure
from tests.bench.many_lessons import SEARCHES, keep_archives, keep_records
from tests.bench.school_relay import pss_mib, school_relay
from tests.live import central

LESSONS: Final = 15_000
_BOUND_MS: Final = 50.0
# A few milliseconds: what a thread may keep the interpreter, and the work between two awaits.
_WAIT_MS: Final = 10.0
_ROUNDS: Final = 9
_MORE_REQUESTS: Final = 1_000
_PART: Final = 200  # lessons that the library page asks for at a time
_FILLED_SECONDS: Final = 600.0
_CATALOGUE: Final = "library.sqlite3"


def measure() -> list[Figure]:
    """Both schools."""
    with tempfile.TemporaryDirectory() as folder:
        return [
            *asyncio.run(_relay(Path(folder) / "relay")),
            *asyncio.run(_central(Path(folder) / "central" / "data")),
        ]


async def _relay(data: Path) -> list[Figure]:
    keep_archives(data / "archives", LESSONS)
    async with school_relay(data) as relay, _client(relay.url, relay.token()) as client:
        began = monotonic()
        while await client.total() < LESSONS:
            await asyncio.sleep(0.5)
            if monotonic() - began > _FILLED_SECONDS:
                raise TimeoutError("the library never held all lessons")
        filled = monotonic() - began
    async with school_relay(data) as relay, _client(relay.url, relay.token()) as client:
        began = monotonic()
        total = await client.total()
        first = monotonic() - began
        await asyncio.sleep(3.0)  # all archives are compared once with what is known of them
        figures = await client.figures("relay", relay.pids["service"])
        return [
            Figure("relay: lessons listed", total, least=LESSONS),
            Figure("relay: first start until all are listed", filled, "s"),
            Figure("relay: next start until it answers", relay.ready_seconds, "s"),
            Figure("relay: first answer after a start", 1e3 * first, "ms"),
            *figures,
        ]


async def _central(data: Path) -> list[Figure]:
    await keep_records(data, LESSONS)
    process = await central.start(data)
    order = LinkOrder(Role.TEACHER, "*", "Cô Hoa", 1)
    token = Signer(load_or_create_key(data)).sign(claims_for(order, token_id="b", now=wall()))
    try:
        async with _client(process.ready["url"], token) as client:
            total = await client.total()
            figures = await client.figures("central", process.process.pid)
            return [Figure("central: lessons listed", total, least=LESSONS), *figures]
    finally:
        await process.end(15)


class _Client:
    """Asks one server for lessons and measures."""

    def __init__(self, http: aiohttp.ClientSession, url: str, token: str) -> None:
        self._http = http
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"}

    async def ask(self, **query: Any) -> tuple[float, dict[str, Any]]:
        """Seconds until the answer is whole, and the answer."""
        began = monotonic()
        url = f"{self._url}/api/lessons"
        async with self._http.get(url, params=query, headers=self._headers) as answer:
            await answer.read()
            seconds = monotonic() - began
            answer.raise_for_status()
            document: dict[str, Any] = await answer.json()
            return seconds, document

    async def total(self) -> int:
        """How many lessons there are."""
        return int((await self.ask(limit=1))[1]["total"])

    async def figures(self, name: str, pid: int) -> list[Figure]:
        """Times, what others wait, memory."""
        alone = await self._probe(asyncio.sleep(2.0))
        times: dict[str, float] = {}
        queries: dict[str, dict[str, Any]] = {
            "first page": {"limit": _PART},
            "a later page": {"limit": _PART, "offset": 12_000},
            **{f"search {words!r}": {"q": words, "limit": _PART} for words in SEARCHES if words},
            "search with filters": {
                "q": "dinh",
                "subject": "vat ly",
                "grade": "9",
                "school": "thcs so 7",
            },
        }

        async def ask_all() -> None:
            for label, query in queries.items():
                # Medians, because the machine has other work; each round asks anew.
                rounds = [(await self.ask(**query))[0] for _ in range(_ROUNDS)]
                times[label] = statistics.median(rounds)

        await ask_all()
        slowest = max((label for label in times if "search" in label), key=lambda one: times[one])
        told = dict(times)
        # Again, for what others wait meanwhile: they take a share of the server themselves.
        beside = await self._probe(ask_all())
        before = pss_mib(pid)
        for number in range(_MORE_REQUESTS):
            await self.ask(q=SEARCHES[number % len(SEARCHES)], limit=_PART, offset=number * 7)
        after = pss_mib(pid)
        return [
            Figure(f"{name}: first page", 1e3 * told["first page"], "ms", most=_BOUND_MS),
            Figure(f"{name}: a later page", 1e3 * told["a later page"], "ms", most=_BOUND_MS),
            Figure(f"{name}: slowest {slowest}", 1e3 * told[slowest], "ms", most=_BOUND_MS),
            Figure(f"{name}: others wait meanwhile, p99", 1e3 * beside, "ms", most=_WAIT_MS),
            Figure(f"{name}: and without searches", 1e3 * alone, "ms"),
            Figure(f"{name}: memory", after, "MiB"),
            Figure(f"{name}: grown by {_MORE_REQUESTS} searches", after - before, "MiB", most=4.0),
        ]

    async def _probe(self, work: Any) -> float:
        """Seconds that 99 of 100 small requests take at most while `work` goes on."""
        waits: list[float] = []
        working = asyncio.ensure_future(work)
        while not working.done():
            began = monotonic()
            async with self._http.get(f"{self._url}/healthz") as answer:
                await answer.read()
            waits.append(monotonic() - began)
            await asyncio.sleep(0.003)
        await working
        return sorted(waits)[int(0.99 * len(waits))]


@contextlib.asynccontextmanager
async def _client(url: str, token: str) -> AsyncIterator[_Client]:
    headers = {"Accept-Encoding": "identity"}
    async with aiohttp.ClientSession(headers=headers) as http:
        yield _Client(http, url, token)
