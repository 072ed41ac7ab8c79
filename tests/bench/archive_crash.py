"""kill -9 at 200 random instants of recording, fetching and putting out.

Real processes on a real disk: a recorder that is fed as the media process feeds it, and a school
relay's cache with its sync and its pupils. After each kill the disk is looked at, and a new process
goes on. What power cuts do beyond kills is tried at every instant by `tests/relay/test_power_cut`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import signal
import socket
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp

from relay.record.feed import LessonEnd
from tests.bench.figures import Figure
from tests.fakes.archives import Made, make, read
from tests.fakes.offering_relay import Relay, token
from tests.fakes.rtp_media import lesson_records, numbered
from tests.live.test_recorder import LESSON, Media
from tests.relay.test_record_restart import Feed, files, record_whole

KILLS: Final = 200
_RECORDING: Final = 0.3  # of the kills
_LESSONS: Final = 5
_SIZES: Mapping[str, int] = {"voice": 4_000, "camera-q": 12_000, "camera-f": 60_000}
_PUPILS: Final = 3
_HEAL_SECONDS: Final = 60.0


@dataclass(slots=True)
class Toll:
    """What the kills cost. damaged: archives that did not come out as without kills. Of a school
    alone: torn: files under a whole part's name that are not that part. lost: parts that were
    whole, and gone after the restart. lies: answers with wrong bytes. answers: right ones.
    evictions: times of putting out. notes: what was wrong, for people.
    """

    kills: int = 0
    torn: int = 0
    lost: int = 0
    lies: int = 0
    answers: int = 0
    damaged: int = 0
    evictions: int = 0
    notes: list[str] = field(default_factory=list)


def measure() -> list[Figure]:
    """All kills."""
    recorded, fetched = run(KILLS)
    for note in (*recorded.notes, *fetched.notes):
        print(note, file=sys.stderr)
    copied = "sync and evict"
    return [
        Figure("record: processes killed", recorded.kills, least=1),
        Figure("record: archives that differ from undisturbed ones", recorded.damaged, most=0),
        Figure(f"{copied}: processes killed", fetched.kills, least=KILLS * (1 - _RECORDING)),
        Figure(f"{copied}: torn files under a whole one's name", fetched.torn, most=0),
        Figure(f"{copied}: verified parts lost", fetched.lost, most=0),
        Figure(f"{copied}: corrupt answers", fetched.lies, most=0),
        Figure(f"{copied}: archives that did not become whole", fetched.damaged, most=0),
        Figure(f"{copied}: right answers meanwhile", fetched.answers, least=1),
        Figure(f"{copied}: times of putting out", fetched.evictions, least=1),
    ]


def run(kills: int, seed: int = 1) -> tuple[Toll, Toll]:
    """What `kills` kills cost the recorder, and a school's copies."""
    # The parent sees its children die all the time.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    seeded = random.Random(seed)
    recording = round(kills * _RECORDING)
    with tempfile.TemporaryDirectory() as folder:
        for name in ("record", "school/archives"):
            (Path(folder) / name).mkdir(parents=True)
        return (
            asyncio.run(record(Path(folder) / "record", recording, seeded)),
            asyncio.run(fetch(Path(folder), kills - recording, seeded)),
        )


async def record(folder: Path, kills: int, seeded: random.Random) -> Toll:
    """Lessons of 30 s, the recorder killed about six times in each."""
    toll = Toll()
    records = numbered([*lesson_records(30, ended=False), LessonEnd(LESSON)])
    expected = record_whole(folder / "whole", records[:-1])
    while toll.kills < kills:
        archives = folder / f"archives-{toll.kills}"
        sent = acknowledged = 0
        while sent < len(records):
            last = toll.kills >= kills or sent > len(records) - 400
            goal = len(records) if last else min(len(records), sent + seeded.randint(50, 700))
            ours, theirs = socket.socketpair()
            process = await _recorder(archives, theirs)
            media = Media(ours)
            await media.open()
            await media.send(Feed(records).again(acknowledged, sent))
            await media.send([one for one in records if max(acknowledged, sent) < one[0] <= goal])
            sent = goal
            # The lesson's end is acknowledged when everything is written; else at any instant.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if last else seeded.uniform(0.0, 0.5)):
                    await media.until(len(records) if last else goal)
            acknowledged = media.acknowledged
            process.send_signal(signal.SIGKILL)
            await process.wait()
            media.close()
            toll.kills += 1
        found = files(archives)
        if found != expected:
            toll.damaged += 1
            toll.notes.append(f"recording differs: {archives}")
    return toll


async def _recorder(archives: Path, feed: socket.socket) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.live.recorder_process", str(archives), str(1 << 20)),
        stdout=asyncio.subprocess.DEVNULL,
        pass_fds=[feed.fileno()],
        env={**os.environ, "FEED_FD": str(feed.fileno())},
    )
    feed.close()
    return process


async def fetch(folder: Path, kills: int, seeded: random.Random) -> Toll:
    """A school that fetches five lessons, shows them, and has to put them out again and again."""
    toll = Toll()
    sources = {
        name: make(name, beats=12, seed=number, sizes=_SIZES, epoch_ms=1_760_000_000_000 + number)
        for number in range(_LESSONS)
        for name in (f"lesson-{number}",)
    }
    parent = Relay(folder / "parent")
    for source in sources.values():
        source.write(parent.archives)
    school = _School(folder / "school", sources, toll, seeded)
    async with parent.running() as running:
        for _ in range(kills):
            await school.live_and_die(running.url)
        await school.heal(running.url)
    return toll


class _School:
    """Starts, watches and kills the school's process."""

    def __init__(
        self, folder: Path, sources: Mapping[str, Made], toll: Toll, seeded: random.Random
    ) -> None:
        self._folder = folder
        self._sources = sources
        self._toll = toll
        self._seeded = seeded
        self._token = token()

    async def live_and_die(self, parent: str) -> None:
        """One process, killed within a second of its readiness."""
        before = self._whole()
        process, url = await self._start(parent)
        after = self._whole()
        gone = {name for name in before - after if not self._exists(name)}
        self._toll.lost += len(gone)
        self._toll.notes += [f"lost {name}" for name in sorted(gone)]
        async with aiohttp.ClientSession(url) as http:
            pupils = [asyncio.ensure_future(self._watch(http)) for _ in range(_PUPILS)]
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._seeded.uniform(0.0, 0.8)):
                    await asyncio.sleep(self._seeded.uniform(0.0, 0.4))
                    async with http.post("/evict") as answer:
                        await answer.read()
                    self._toll.evictions += 1
                    await asyncio.Event().wait()
            await self._kill(process, pupils)
            self._toll.kills += 1
        self._whole()

    async def heal(self, parent: str) -> None:
        """A last process, that is let live until everything is here and a pupil had some of it."""
        process, url = await self._start(parent)
        async with aiohttp.ClientSession(url) as http:
            before = self._toll.answers
            pupil = asyncio.ensure_future(self._watch(http))
            for _ in range(round(_HEAL_SECONDS / 0.1)):
                if all(map(self._is_copied, self._sources)) and self._toll.answers > before:
                    break
                await asyncio.sleep(0.1)
            await self._kill(process, [pupil])
        self._toll.damaged += sum(not self._is_copied(name) for name in self._sources)

    async def _kill(
        self, process: asyncio.subprocess.Process, pupils: Sequence[asyncio.Future[None]]
    ) -> None:
        process.send_signal(signal.SIGKILL)
        await process.wait()
        for pupil in pupils:
            pupil.cancel()
        await asyncio.wait(pupils)
        for pupil in pupils:
            if not pupil.cancelled():
                pupil.result()

    def _is_copied(self, lesson: str) -> bool:
        try:
            found = read(self._folder / "archives" / lesson)
        except OSError:
            return False  # something is being renamed at this moment
        found.pop("about.json", None)
        return found == self._sources[lesson].files

    async def _start(self, parent: str) -> tuple[asyncio.subprocess.Process, str]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.bench.archive_crash_school"),
            *(str(self._folder), parent, self._token, *self._sources),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        assert process.stdout is not None
        port = (await process.stdout.readline()).decode().strip()
        if not port:
            raise RuntimeError("the school's process did not start again")
        return process, f"http://127.0.0.1:{port}"

    async def _watch(self, http: aiohttp.ClientSession) -> None:
        """A pupil: one part after the other, whatever it is."""
        seeded = random.Random(self._seeded.random())
        while True:
            lesson = seeded.choice(list(self._sources))
            source = self._sources[lesson]
            name = seeded.choice([one for one in source.files if "/" in one])
            try:
                async with http.get(f"/archives/{lesson}/{name}") as answer:
                    data = await answer.read()
            except (aiohttp.ClientError, ConnectionError):
                await asyncio.sleep(0.01)
                continue
            if answer.status == 200 and data == source.files[name]:
                self._toll.answers += 1
            elif answer.status not in (404, 503):
                self._toll.lies += 1
                self._toll.notes.append(f"{lesson}/{name} was answered {answer.status}")

    def _whole(self) -> set[str]:
        """The parts that are there under their names; all of them must be what they claim."""
        found: set[str] = set()
        for lesson, source in self._sources.items():
            for name, data in source.files.items():
                path = self._folder / "archives" / lesson / name
                if "/" not in name or not path.is_file():
                    continue
                try:
                    good = path.read_bytes() == data
                except FileNotFoundError:
                    continue  # it was put out at this moment
                if good:
                    found.add(f"{lesson}/{name}")
                else:
                    self._toll.torn += 1
                    self._toll.notes.append(f"torn {lesson}/{name}")
        return found

    def _exists(self, name: str) -> bool:
        return (self._folder / "archives" / name).is_file()
