"""The recorder: reads the feed, records every lesson in it, acknowledges what is durable.

Here: the feed's socket, one loop that commits, and which lesson a record is about. Not here: one
lesson's files and failures (`session`), what is written (`lesson`). A `Recorder` outlives its
connections; when the whole process was killed, a new one goes on from what is on the disk.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from classroom.clock import wall
from classroom.errors import Refused
from relay.record.feed import (
    End,
    FeedParser,
    Hello,
    LessonEnd,
    Packet,
    Record,
    Sync,
    Track,
    encode_ack,
)
from relay.record.recording import NOT_RECORDED, RecorderSettings, RecordingState
from relay.record.session import LessonSession
from relay.record.stills import Keyframes
from relay.record.told import Told
from relay.record.transcode import Transcoder

_log: Final = logging.getLogger("relay.recorder")

READ_SIZE: Final = 256 * 1024
_NONE: Final = RecordingState("none", "", 0.0)


_MOST_TOLD: Final = 64
"""Lessons of which it is kept what was told; a relay has a few at a time."""


def _ignore(lesson: str, state: RecordingState) -> None:
    """For those who do not want to know."""


def _tell_nobody(lesson: str, told: Told) -> None:
    """For a relay without others below."""


class Recorder:
    """All lessons of a relay. Make one per process, on its event loop; `close` it at the end."""

    def __init__(
        self,
        directory: Path,
        *,
        settings: RecorderSettings | None = None,
        on_state: Callable[[str, RecordingState], None] = _ignore,
        on_told: Callable[[str, Told], None] = _tell_nobody,
    ) -> None:
        """directory: of all archives. on_state: called with (lesson, state) at each change of
        state or detail, and about once a second while recording. on_told: called with what relays
        below have to know of a lesson's recording, whenever that changes."""
        self._directory = directory
        self._settings = settings or RecorderSettings()
        self._tell = on_state
        self._tell_below = on_told
        self._told: dict[str, Told] = {}
        self._states: dict[str, RecordingState] = {}
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="recorder")
        self.transcoder = Transcoder()
        """For VP8; public so that its process can be watched."""
        self.keyframes = Keyframes()
        """For still pictures."""
        self._sessions: dict[str, LessonSession] = {}
        self._lesson_of: dict[int, str] = {}
        self._committing = asyncio.Lock()
        self._feed = ""
        self.skipped = 0
        """Records that could not be read."""
        self._last = self._acknowledged = 0
        self._connection = 0
        self._retry_at: dict[str, float] = {}

    def state(self, lesson: str) -> RecordingState:
        """What pages show of a lesson; `none` for one that this process did not record."""
        return self._states.get(lesson, _NONE)

    def told(self, lesson: str) -> Told | None:
        """What relays below have to know of a lesson's recording; None before it began."""
        return self._told.get(lesson)

    def tell(self, lesson: str, told: Told) -> None:
        """The parent says how it records a lesson: at the beginning, at each change, and again
        whenever its line is back."""
        session = self._sessions.get(lesson)
        if session is not None:
            session.tell(told)
        self._keep_told(lesson, told)

    def lose_parent(self) -> None:
        """The line to the parent is gone. What media still comes waits to be told of, for some
        seconds."""
        for session in self._sessions.values():
            session.lose_parent()

    def _keep_told(self, lesson: str, told: Told) -> None:
        before = self._told.pop(lesson, None)
        self._told[lesson] = told
        while len(self._told) > _MOST_TOLD:
            del self._told[next(iter(self._told))]
        if told != before:
            self._tell_below(lesson, told)

    def _on_state(self, lesson: str, state: RecordingState) -> None:
        self._states[lesson] = state
        self._tell(lesson, state)

    async def run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection of the media process until it ends; a newer one takes over.

        Raises Refused 400 `feed-…` when the other side does not speak this feed.
        """
        self._connection += 1
        connection = self._connection
        refused: Refused | None = None
        try:
            async with asyncio.TaskGroup() as group:
                commits = group.create_task(self._serve_commits(writer, connection))
                transcodes = group.create_task(self.transcoder.run())
                try:
                    await self._read(reader, connection)
                except Refused as error:
                    refused = error
                commits.cancel()
                transcodes.cancel()
        finally:
            await self._commit()
        if refused is not None:
            raise refused

    def miss(self, lesson: str) -> None:
        """Somebody saw that the lesson is taught and not recorded; growth of what is recorded says
        otherwise. A reason that the lesson itself gave stands."""
        state = self.state(lesson)
        if state.state != "failing":
            _log.warning("recording-failing", extra={"lesson": lesson, "code": NOT_RECORDED})
            self._on_state(lesson, RecordingState("failing", NOT_RECORDED, state.seconds))

    async def close(self) -> None:
        """Make durable what can be, and give files and threads back."""
        await self._commit(everything=True)
        for session in self._sessions.values():
            session.close()
        self._executor.shutdown()

    async def _read(self, reader: asyncio.StreamReader, connection: int) -> None:
        parser = FeedParser(self._skip)
        greeted = False
        while data := await _read_some(reader):
            if connection != self._connection:
                return
            for sequence, record in parser.receive(data):
                self.keyframes.receive(record, wall())
                if isinstance(record, Hello):
                    greeted = True
                    self._greet(record.feed)
                elif not greeted:
                    raise Refused(
                        400,
                        "feed-hello-missing",
                        "The recorder feed does not begin with its greeting.",
                        fix="Close this connection; both processes must be of one version.",
                    )
                else:
                    self._accept(sequence, record)

    def _skip(self, sequence: int, error: Refused) -> None:
        """A record that cannot be read counts as dropped for good."""
        self._last = max(self._last, sequence)
        if not self.skipped:
            _log.error("feed-record-skipped", extra={"reason": error.detail, "field": error.field})
        self.skipped += 1

    def _greet(self, feed: str) -> None:
        if feed == self._feed:
            # What was acknowledged on the connection before may not have arrived.
            self._acknowledged = 0
            return
        self._feed = feed
        self._last = self._acknowledged = 0
        self._lesson_of.clear()
        for session in self._sessions.values():
            session.change_feed(feed)

    def _accept(self, sequence: int, record: Record) -> None:
        self._last = max(self._last, sequence)
        match record:
            case Track(track=track, lesson=lesson):
                self._lesson_of[track] = lesson
                self._session(lesson).receive(self._feed, sequence, record)
            case Packet(track=track) | Sync(track=track) | End(track=track):
                lesson = self._lesson_of.get(track, "")
                if lesson:
                    self._session(lesson).receive(self._feed, sequence, record)
            case LessonEnd(lesson=lesson):
                self._session(lesson).receive(self._feed, sequence, record)

    def _session(self, lesson: str) -> LessonSession:
        session = self._sessions.get(lesson)
        if session is None:
            session = self._sessions[lesson] = LessonSession(
                lesson,
                self._directory,
                self._settings,
                self._executor,
                self.transcoder,
                self._on_state,
            )
            if self._settings.below and lesson in self._told:
                session.tell(self._told[lesson])
        return session

    async def _serve_commits(self, writer: asyncio.StreamWriter, connection: int) -> None:
        while True:
            await asyncio.sleep(self._settings.commit_interval)
            # Shielded: what a commit took must be settled, whatever happens to this connection.
            await asyncio.shield(self._commit())
            safe = self._safe()
            if connection == self._connection and safe > self._acknowledged:
                self._acknowledged = safe
                writer.write(encode_ack(safe))

    def _safe(self) -> int:
        needed = [session.needed() for session in self._sessions.values()]
        lowest = min((number for number in needed if number is not None), default=None)
        return self._last if lowest is None else lowest - 1

    async def _commit(self, *, everything: bool = False) -> None:
        """One round over the lessons; failing ones only when their time to retry has come."""
        now = asyncio.get_running_loop().time()
        async with self._committing:
            for lesson, session in list(self._sessions.items()):
                if self._retry_at.get(lesson, 0.0) > now and not everything:
                    session.drop_if_full()
                    continue
                session.advance()
                await session.commit()
                if session.state.state == "failing":
                    self._retry_at[lesson] = now + self._settings.retry_interval
                else:
                    self._retry_at.pop(lesson, None)
                session.drop_if_full()
                told = session.told
                if told is not None and told != self._told.get(lesson):
                    self._keep_told(lesson, told)
                if session.ended:
                    del self._sessions[lesson]


async def _read_some(reader: asyncio.StreamReader) -> bytes:
    """Bytes, or b"" at the connection's end, however it came."""
    try:
        return await reader.read(READ_SIZE)
    except ConnectionError:
        return b""


async def run_recorder(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    directory: Path,
    *,
    settings: RecorderSettings | None = None,
    on_state: Callable[[str, RecordingState], None] = _ignore,
) -> None:
    """Record one connection's feed with a recorder of its own; see `Recorder.run`."""
    recorder = Recorder(directory, settings=settings, on_state=on_state)
    try:
        await recorder.run(reader, writer)
    finally:
        await recorder.close()
