"""One lesson's recorder together with its files, and what happens when the disk fails.

Here: the records not durable yet, committing in a worker thread, reopening after an error, and
the state that pages show. Not here: the feed's socket (`recorder`), what is written (`lesson`).
A failed commit and a killed process recover on one path: throw the recorder away, open the store
again, introduce the tracks again, and go through the records that were not durable. Of a media
process that is gone nobody can be asked for them again: they stay here until they are durable, and
those of the next one wait for that.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from classroom.archive.names import is_lesson
from classroom.clock import monotonic
from classroom.errors import Refused
from relay.media.timeline import ANCHORS_KEPT
from relay.record import actions as asked
from relay.record.actions import Action
from relay.record.awaited import Awaited, LessonRecord, anchors_first
from relay.record.feed import End, LessonEnd, Packet, Sync, Track
from relay.record.lesson import LessonRecorder
from relay.record.recording import (
    DISK_FAILING,
    DISK_FULL,
    NOT_RECORDED,
    RecorderSettings,
    RecordingState,
    State,
)
from relay.record.store import LessonStore
from relay.record.told import Told
from relay.record.transcode import Transcoder

_log: Final = logging.getLogger("relay.recorder")

_SILENT: Final = 1.0  # s without a packet, from when on our own clock moves the lesson's time
_TRANSCODER_PATIENCE: Final = 10.0  # s that the end of a lesson waits for its last pictures
_RECORD_OVERHEAD: Final = 200  # bytes of Python objects around a packet, about


@dataclass(frozen=True, slots=True)
class _Left:
    """What a media process that is gone left behind: its tracks, their anchors, and the records
    that were not durable then. size: as in `_unsafe_bytes`. broken: tracks that met a bug."""

    feed: str
    records: list[tuple[int, LessonRecord]]
    size: int
    broken: set[int]

    @property
    def packets(self) -> int:
        return sum(isinstance(record, Packet) for _, record in self.records)


class LessonSession:
    """One lesson while it is being recorded. Everything runs on one event loop; only the store's
    calls run in `executor`, one at a time."""

    def __init__(
        self,
        lesson: str,
        archives: Path,
        settings: RecorderSettings,
        executor: Executor,
        transcoder: Transcoder,
        on_state: Callable[[str, RecordingState], None],
    ) -> None:
        self.lesson = lesson
        self.state = RecordingState("none", "", 0.0)
        self.ended = False
        """The archive is finished and nothing is left to do."""
        self._archives = archives
        self._settings = settings
        self._executor = executor
        self._transcoder = transcoder
        self._on_state = on_state
        self._store: LessonStore | None = None
        self._recorder: LessonRecorder | None = None
        self._feed = ""
        self._tracks: dict[int, tuple[int, Track]] = {}
        self._anchors: dict[int, list[tuple[int, Sync]]] = {}
        self._awaited = Awaited(settings.patience)
        self._own: Told | None = None
        self._held: deque[tuple[int, LessonRecord]] = deque()
        """The newest of `_unsafe`, for which it is not known yet how to record them."""
        self._unsafe: deque[tuple[int, LessonRecord]] = deque()
        self._left: deque[_Left] = deque()
        """The recorder has the first one's records, and none of the others' or of this feed's."""
        self._unsafe_bytes = 0
        """Of `_unsafe` and `_left`."""
        self._last = 0
        self._now = self._received_at = 0.0
        self._monotonic = monotonic
        self._ending: float | None = None
        self._patience = 0.0
        self._detail = ""
        self._dropped = 0
        self._broken: set[int] = set()
        """Tracks of this feed that met a bug: what comes of them is acknowledged, not recorded."""
        self._over: set[int] = set()
        """Tracks of this feed that have ended."""
        self._fault: Exception | None = None
        self._at_fault = False
        """A fault of the lesson is in the log, and nothing was recorded since."""
        self._valid = is_lesson(lesson)

    def needed(self) -> int | None:
        """The lowest feed sequence that is not durable; None if there is none."""
        return self._unsafe[0][0] if self._unsafe else None

    def tell(self, told: Told) -> None:
        """How the relay above records the lesson."""
        self._awaited.tell(told)
        if self._recorder is not None:
            self._recorder.follow(told)
        self._release()

    def lose_parent(self) -> None:
        """Nothing is told for now: what comes may be of another time than what was told."""
        self._awaited.lose()

    @property
    def told(self) -> Told | None:
        """What relays below have to know."""
        if self._settings.below:
            return self._awaited.told
        return self._own

    def receive(self, feed: str, sequence: int, record: LessonRecord) -> None:
        """A record about this lesson; those that were seen already are ignored."""
        if not self._valid:
            return
        if feed != self._feed:
            self.change_feed(feed)
        if isinstance(record, Track | Sync) and sequence <= self._last:
            self._introduce_again(sequence, record)
            return
        if sequence <= self._last:
            return
        self._last = sequence
        self.ended = False
        if isinstance(record, Packet):
            self._now = max(self._now, record.arrival)
            self._received_at = self._monotonic()
            self._unsafe_bytes += len(record.packet) + _RECORD_OVERHEAD
        elif isinstance(record, End):
            self._over.add(record.track)
        self._awaited.receive(record, self._monotonic())
        self._unsafe.append((sequence, record))
        if self._held or self._is_waiting():
            self._held.append((sequence, record))
            self._release()
        else:
            self._apply(sequence, record)

    def _is_waiting(self) -> bool:
        """Nothing is held that would fill the memory, or that nobody will say more about."""
        full = self._unsafe_bytes > self._settings.buffer_bytes // 2
        return self._settings.below and not full and self._awaited.is_waiting(self._monotonic())

    def _release(self, *, everything: bool = False) -> None:
        """Record what was held, once it is known how, or in vain to wait."""
        if self._held and not self._left and (everything or not self._is_waiting()):
            held, self._held = anchors_first(self._held), deque()
            for sequence, record in held:
                self._apply(sequence, record)

    def _introduce_again(self, sequence: int, record: Track | Sync) -> None:
        """A new connection tells what is in force; mostly it is known. It is not acknowledged. It
        also tells of tracks whose end it does not know to be durable here: they stay ended, for
        another may have their place."""
        if record.track in self._over:
            return
        if isinstance(record, Track):
            known = any(n == record.track for n in self._tracks) or any(
                isinstance(r, Track) and r.track == record.track for _, r in self._unsafe
            )
            if not known:
                self._tracks[record.track] = (sequence, record)
                self._apply(sequence, record)
        elif all(
            sequence != known for known, _ in (*self._anchors.get(record.track, ()), *self._unsafe)
        ):
            self._keep_anchor(sequence, record)
            self._apply(sequence, record)

    def _keep_anchor(self, sequence: int, record: Sync) -> None:
        """Packets that come late are timed by the anchor that was in force for them."""
        known = self._anchors.get(record.track, [])
        before = known[1 - ANCHORS_KEPT :] if record.since is not None else []
        self._anchors[record.track] = [*before, (sequence, record)]

    def change_feed(self, feed: str) -> None:
        """The media process came back: what it had sent before cannot be asked for again."""
        if feed == self._feed:
            return
        held = {sequence for sequence, _ in self._held}
        left = [*self._known(), *(item for item in self._unsafe if item[0] not in held)]
        left += anchors_first(self._held)
        self._release(everything=True)
        self._awaited.clear()
        if self._recorder is not None and self._feed and not self._left:
            self._suspend(self._recorder)
        if self._unsafe:
            size = self._unsafe_bytes - sum(other.size for other in self._left)
            self._left.append(_Left(self._feed, left, size, set(self._broken)))
        self._feed = feed
        self._last = 0
        self._tracks.clear()
        self._anchors.clear()
        self._unsafe.clear()
        self._held.clear()
        self._broken.clear()
        self._over.clear()

    def _suspend(self, recorder: LessonRecorder) -> None:
        """Nothing more comes of a media process."""
        self._patience = self._monotonic() + _TRANSCODER_PATIENCE
        try:
            recorder.suspend("the media process came back")
        except Exception as error:
            # The lesson's own bug stays with the lesson; see `_record`.
            self._blame(error)

    def _known(self) -> list[tuple[int, LessonRecord]]:
        """The tracks of this feed and their anchors, as far as they are durable."""
        known: list[tuple[int, LessonRecord]] = [*self._tracks.values()]
        for anchors in self._anchors.values():
            known += anchors
        return known

    def _apply(self, sequence: int, record: LessonRecord) -> None:
        recorder = self._recorder
        if recorder is not None and not self._left:
            self._record(recorder, self._feed, self._broken, sequence, record)

    def _record(
        self,
        recorder: LessonRecorder,
        feed: str,
        broken: set[int],
        sequence: int,
        record: LessonRecord,
    ) -> None:
        """broken: tracks of `feed` that met a bug."""
        if isinstance(record, LessonEnd):
            self._ending = self._now
            self._patience = self._monotonic() + _TRANSCODER_PATIENCE
        elif record.track in broken:
            return
        try:
            if isinstance(record, LessonEnd):
                recorder.suspend("the lesson ended")
            else:
                recorder.receive(feed, sequence, record)
            for pipeline, job in recorder.take_jobs():
                self._transcoder.submit(pipeline, job)
        except Exception as error:
            # Media that no test thought of must cost its own track alone: the same record would
            # come again after a restart, and end the recording of every lesson again.
            self._break(recorder, broken, record, error)

    def _break(
        self,
        recorder: LessonRecorder,
        broken: set[int],
        record: LessonRecord,
        error: Exception,
    ) -> None:
        """A record met a bug: record the lesson without its track."""
        if isinstance(record, LessonEnd):
            self._blame(error)
            return
        broken.add(record.track)
        _log.error(
            "track-not-recorded",
            extra={"lesson": self.lesson, "track": record.track},
            exc_info=error,
        )
        try:
            recorder.drop_track(record.track)
        except Exception as again:
            # What its rendition holds cannot be written either.
            self._blame(again)

    def _blame(self, error: Exception) -> None:
        """A bug that no single track can be blamed for: the next commit goes on without what
        waits. Not at once, for the store may be at work in its thread."""
        self._fault = error
        self._recorder = None

    def advance(self) -> None:
        """Time passes for tracks that nothing comes of, also in a feed gone silent: let what is
        held go to disk."""
        silent = self._monotonic() - self._received_at
        if self._held:
            return
        if self._recorder is not None and self._now:
            try:
                self._recorder.advance(self._now + (silent if silent > _SILENT else 0.0))
            except Exception as error:
                # The lesson's own bug stays with the lesson; see `_record`.
                self._blame(error)

    async def commit(self) -> None:
        """Make durable what came so far. A failing disk, or an archive damaged by one, shows in the
        state and is tried again; nothing is raised."""
        if not self._valid:
            return
        try:
            if self._fault is None:
                await self._commit()
        except (OSError, Refused) as error:
            self._fail(error)
        except Exception as error:
            # The lesson's own bug stays with the lesson; see `_record`.
            self._blame(error)
        if self._fault is not None:
            self._go_on_without(self._fault)
            self._fault = None

    async def _commit(self) -> None:
        loop = asyncio.get_running_loop()
        if self._recorder is None:
            await self._open(loop)
        self._release()
        recorder, store = self._recorder, self._store
        if recorder is None or store is None:
            return  # what waited met a bug at once
        if self._ending is not None and (
            not recorder.draining or self._monotonic() > self._patience
        ):
            recorder.finish(self._ending)
        actions = recorder.take_actions()
        needed = recorder.first_feed()
        self._own = recorder.tell()
        last = self._held[0][0] - 1 if self._held else self._last
        feed, left = self._feed, self._left[0] if self._left else None
        if actions:
            await loop.run_in_executor(self._executor, store.commit, actions)
        if any(isinstance(action, asked.Finish) for action in actions):
            self._ending = None
        if left is not None:
            if not recorder.draining or self._monotonic() > self._patience:
                self._go_on_after(left, recorder)
        elif self._feed == feed:
            self._forget(last if needed is None else min(last, needed - 1))
        self._settle(recorder, actions)

    async def _open(self, loop: asyncio.AbstractEventLoop) -> None:
        settings = self._settings
        store = await loop.run_in_executor(
            self._executor,
            partial(LessonStore, manifest=not settings.below),
            self._archives,
            self.lesson,
        )
        self._store = store
        recorder = LessonRecorder(
            self.lesson,
            beat_ms=settings.beat_ms,
            hold=settings.hold,
            stored=store.stored,
            resume=not self._dropped,
            lag=settings.lag,
            below=settings.below,
        )
        if self._awaited.told is not None:
            recorder.follow(self._awaited.told)
        self._recorder = recorder
        if self._dropped:
            recorder.note(f"{self._dropped} packets could not be kept: {self._detail}")
        self._go_through(recorder)

    def _go_through(self, recorder: LessonRecorder) -> None:
        """Record what waits: of the oldest media process that left something, or of this one."""
        if self._left:
            left = self._left[0]
            for sequence, record in left.records:
                self._record(recorder, left.feed, left.broken, sequence, record)
            self._suspend(recorder)
            return
        held = {sequence for sequence, _ in self._held}
        for sequence, record in (*self._known(), *self._unsafe):
            if sequence not in held:
                self._apply(sequence, record)

    def _go_on_after(self, left: _Left, recorder: LessonRecorder) -> None:
        """What the first one left is durable."""
        self._left.popleft()
        self._unsafe_bytes -= left.size
        self._go_through(recorder)

    def _settle(self, recorder: LessonRecorder, actions: list[Action]) -> None:
        self._detail, self._dropped, self._at_fault = "", 0, False
        waits = self._unsafe or self._left
        if any(isinstance(action, asked.Finish) for action in actions) and not waits:
            self.ended = True
            self.close()
            self._tell("finished", "", recorder.seconds)
        elif actions or self.state.state == "failing":
            self._tell("recording" if recorder.seconds else "none", "", recorder.seconds)

    def _forget(self, safe: int) -> None:
        """Records up to `safe` are durable; the tracks and anchors they set stay in force."""
        while self._unsafe and self._unsafe[0][0] <= safe:
            sequence, record = self._unsafe.popleft()
            match record:
                case Packet():
                    self._unsafe_bytes -= len(record.packet) + _RECORD_OVERHEAD
                case Track():
                    self._tracks[record.track] = (sequence, record)
                case Sync():
                    self._keep_anchor(sequence, record)
                case End():
                    self._tracks.pop(record.track, None)
                    self._anchors.pop(record.track, None)
                case LessonEnd():
                    pass

    def _fail(self, error: OSError | Refused) -> None:
        detail = _code(error)
        if detail != self._detail:
            extra = {"lesson": self.lesson, "code": detail, "reason": str(error)}
            _log.warning("recording-failing", extra=extra)
        self._detail = detail
        self.close()
        self._recorder = None
        self._tell("failing", self._detail, self.state.seconds)

    def drop_if_full(self) -> None:
        """While the disk fails: let go of what is more than the buffer holds."""
        if self._unsafe_bytes <= self._settings.buffer_bytes:
            return
        if not self._detail:
            self._detail = DISK_FAILING  # it is too slow
            self._tell("failing", self._detail, self.state.seconds)
        self._let_go()

    def _go_on_without(self, fault: Exception) -> None:
        """Let go of what waits, so that nothing meets `fault` again, and reopen the archive."""
        if not self._at_fault:
            _log.error("lesson-not-recorded", extra={"lesson": self.lesson}, exc_info=fault)
        self._at_fault = True
        self._detail = NOT_RECORDED
        self._tell("failing", self._detail, self.state.seconds)
        self._let_go()

    def _let_go(self) -> None:
        """Count all that came as done with, and begin again from what is on the disk."""
        waits = list(self._unsafe)
        for left in self._left:
            self._dropped += left.packets
            if not self._tracks and not self._unsafe:
                waits += left.records
        self._dropped += sum(isinstance(record, Packet) for _, record in self._unsafe)
        if any(isinstance(record, LessonEnd) for _, record in waits):
            self._ending = self._now
        self._left.clear()
        self._held.clear()
        self._forget(self._last)
        self._unsafe_bytes = 0
        self.close()
        self._recorder = None

    def close(self) -> None:
        """Give the files back."""
        if self._store is not None:
            self._store.close()
            self._store = None
        if self._recorder is not None and self.ended:
            self._recorder = None

    def _tell(self, state: State, detail: str, seconds: float) -> None:
        before = self.state
        self.state = RecordingState(state, detail, seconds)
        if (before.state, before.detail) != (state, detail) or int(seconds) != int(before.seconds):
            self._on_state(self.lesson, self.state)


def _code(error: OSError | Refused) -> str:
    """Refused: an archive that a disk has damaged."""
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return DISK_FULL if full else DISK_FAILING
