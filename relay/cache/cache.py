"""The archives that this relay holds: what is whole, what is missing, what must go.

Here: taking an archive over from a source part by part, verified; reading it verified; saying what
is held. Not here: putting lessons out (`room`), what to fetch next (`relay.sync.plan`), HTTP,
recording. CACHE.md beside this file says how a power cut at any instant is survived.

Every method may be called from any thread and most of them block: from an event loop, use
`asyncio.to_thread`. Those that write raise `Absent` when the disk is full or fails: nothing is
broken then, and the same call may be made again later.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from classroom.archive import canonical
from classroom.archive.canonical import malformed
from classroom.archive.contents import Header
from classroom.archive.manifest import Manifest
from classroom.archive.names import EVENTS, GROWING, HEADER, JOURNAL, MANIFEST
from classroom.clock import Clock, monotonic
from classroom.errors import Absent, Refused
from relay.cache import growing, merge, settling
from relay.cache.files import (
    hash_file,
    make_directory,
    remove,
    size_of,
    stamp_of,
    write_atomic,
)
from relay.cache.growing import place
from relay.cache.held import Claim, Held, Space
from relay.cache.merge import View
from relay.cache.parts import Part, parts
from relay.cache.reading import SOURCE, Reader
from relay.cache.room import Room
from relay.cache.verifying import UNREADABLE, Verifier

__all__ = ["Cache", "Found", "Held", "Space"]

_log: Final = logging.getLogger("relay.cache")


@dataclass(frozen=True, slots=True)
class Found:
    """A part that the lesson has.

    path: the verified file, None while it is missing. digest: what it is or will be. stand_in: what
    was recorded here of the same moment, with losses, and its digest: verified too; None for none.
    """

    path: Path | None
    digest: str
    stand_in: tuple[Path, str] | None = None


class Cache:
    """One per service process; `close` it at the end."""

    def __init__(
        self,
        archives: Path,
        state: Path,
        *,
        root: bool,
        quota_bytes: int = 0,
        floor_bytes: int = 0,
        claim: Callable[[], Claim] = Claim,
        live: Callable[[str], bool] = lambda lesson: False,
        monotonic: Clock = monotonic,
        free: Callable[[], int] | None = None,
    ) -> None:
        """archives: directory of all lessons. state: file for last uses, pins and wants; it may be
        lost. root: this relay has no parent, so nothing is ever put out. claim(): what else has a
        right to room on this disk; what it does not take yet stays free. live(lesson): whether it
        runs or is being recorded here now. free(): bytes free on the disk, None to ask the system.
        """
        self._archives = archives
        self._live = live
        self._reader = Reader(archives, self._damaged, self._check_top)
        self._room = Room(
            archives,
            state,
            root=root,
            quota=quota_bytes,
            floor=floor_bytes,
            claim=claim,
            live=live,
            reader=self._reader,
            monotonic=monotonic,
            free=free,
        )
        self._verifier = Verifier(archives, self._room)
        self._adopted = self._refused = 0

    # What a source's archive consists of, and taking it over.

    def begin(self, lesson: str, manifest: bytes) -> Manifest:
        """Follow a source's manifest from now on; safe to repeat, and to call with a newer one.

        What is here already with the same size and digest counts as held, whoever wrote it: it is
        read and hashed in this call. A manifest that is not finished is taken for a lesson that
        still runs. Raises Refused 400 `archive-malformed` (also: too large, of another lesson, from
        another age), 409 `lesson-live` for a finished manifest while the lesson is live here,
        Absent.
        """
        path = self._reader.path(lesson)
        decoded = Manifest.decode(manifest)
        if decoded.lesson != lesson:
            raise malformed("manifest.lesson", "it is of another lesson")
        if decoded.encode() != manifest:
            raise malformed("manifest", "it is not in canonical form")
        if decoded.finished and self._live(lesson):
            raise _live_now()
        recorded = stamp_of(path / JOURNAL) is not None
        entry = self._room.entry(lesson)
        if entry is not None and entry.settled and _same(path / MANIFEST, manifest):
            return decoded
        with self._room.writing():
            make_directory(path)
            if recorded:
                _keep(path / SOURCE, manifest)
            else:
                header = Header(lesson, decoded.epoch_ms, decoded.beat_ms)
                _keep(path / HEADER, header.encode())
                _keep(path / MANIFEST, manifest)
        self._reader.forget(lesson)
        self._room.begun(lesson, canonical.digest(manifest), decoded)
        if recorded:
            self._adopt(lesson)
        return decoded

    def _adopt(self, lesson: str) -> None:
        """Hash what the recorder wrote, once: most of it is what the source has."""
        view = self._reader.view(lesson)
        for part in parts(view.manifest):
            path = place(self._archives, part)
            if size_of(path) == part.bytes and self._verifier.digest(part) == part.digest:
                self._adopted += 1

    def missing(self, lesson: str) -> list[Part]:
        """What is not here of the manifest that is followed, in its order; empty when whole or
        not known. What was set aside as rotten is among it."""
        try:
            view = self._reader.view(lesson)
        except Refused:
            return []
        entry = self._room.entry(lesson)
        if not view.followed and (entry is None or not entry.settled):
            return []  # recorded here, and no source has told of it
        recorded = view.followed and stamp_of(self._archives / lesson / JOURNAL) is not None
        found: list[Part] = []
        for part in parts(view.manifest):
            path = place(self._archives, part)
            status = stamp_of(path)
            if status is None or status.size != part.bytes:
                if stamp_of(path.with_name(path.name + GROWING)) is None:
                    found.append(part)
            elif recorded and self._verifier.digest(part) != part.digest:
                found.append(part)
        return found

    def part_size(self, part: Part) -> int:
        """Bytes of a part that are on disk so far: where its download goes on. 0 for none."""
        return size_of(growing.growing(place(self._archives, part)))

    def append(self, part: Part, offset: int, data: bytes) -> None:
        """Write the bytes that follow. offset: must be `part_size(part)`, else Misuse. Raises
        Refused 400 `part-too-long` (what came of it is dropped), Absent."""
        path = place(self._archives, part)
        try:
            with self._room.writing():
                growing.append(path, part, offset, data)
        except Refused:
            self._refused += 1
            self.drop(part)
            raise
        self._room.grew(part.lesson, len(data))

    def drop(self, part: Part) -> None:
        """Forget what came of a part that is not complete."""
        path = growing.growing(place(self._archives, part))
        with self._room.writing():
            self._room.grew(part.lesson, -remove(path))

    def complete(self, part: Part) -> None:
        """All bytes are there: verify, make durable, put in place. Raises Refused 400
        `part-digest-wrong` when size or digest lie (what came is dropped: fetch it again, from
        another source if there is one), 409 `part-unknown` when the manifest changed meanwhile,
        Absent."""
        path = place(self._archives, part)
        wanted = self._reader.view(part.lesson).files.get(f"{part.rendition}/{part.name}")
        known = wanted is not None and wanted.digest == part.digest
        if not known and not growing.is_extra(part):
            self.drop(part)
            raise Refused(
                409,
                "part-unknown",
                f"{part.rendition}/{part.name} is no part of the lesson any more.",
                fix="Ask again what is missing.",
                field=part.name,
            )
        size, replaced = self.part_size(part), size_of(path)
        try:
            with self._room.writing():
                found = growing.complete(path, part)
                replaced += remove(growing.rotten(path))
        except Refused:
            self._refused += 1
            self._room.grew(part.lesson, -size)
            raise
        self._room.verify(part.lesson, f"{part.rendition}/{part.name}", found, part.digest)
        self._room.grew(part.lesson, -replaced)

    def put(self, part: Part, data: bytes) -> None:
        """A whole part at once: `drop`, `append` and `complete`."""
        self.drop(part)
        self.append(part, 0, data)
        self.complete(part)

    def finish(self, lesson: str, journal: bytes | None, events: bytes | None) -> None:
        """Nothing is missing: make header, journal, events and manifest the source's bytes and
        remove what the manifest does not know. Everything is verified before.

        None for journal or events: ours is the source's already (see `top_digest`). Raises Refused
        409 `archive-incomplete` (look at `missing` again: a part may have been rotten), 409
        `lesson-live`, 400 `archive-malformed` when the journal does not agree with the manifest;
        Absent.
        """
        if self._live(lesson):
            raise _live_now()
        view = self._reader.view(lesson)
        entry = self._room.entry(lesson)
        path = self._archives / lesson
        if not view.followed and entry is not None:
            if entry.settled:
                return
            manifest = settling.kept(path / MANIFEST)
            if canonical.digest(manifest) == entry.manifest:
                # A power cut came after all of it was written, and before that was remembered.
                self.begin(lesson, manifest)
                view = self._reader.view(lesson)
        source = view.manifest
        if not view.whole:
            raise _incomplete("the source has not told of the whole lesson")
        settling.check_events(events if events is not None else settling.kept(path / EVENTS))
        settling.check_journal(
            journal if journal is not None else settling.kept(path / JOURNAL), source
        )
        self._verify(view)
        with self._room.writing():
            settling.settle(path, source, journal, events)
            top = settling.top_digest(path)
        self._reader.forget(lesson)
        self._room.settled(lesson, canonical.digest(source.encode()), source.size, top)

    def verify(self, lesson: str) -> None:
        """Look whether all parts are here and good, so that `finish` is worth its journal. Raises
        Refused 409 `archive-incomplete`, 409 `lesson-live`, Absent."""
        if self._live(lesson):
            raise _live_now()
        self._verify(self._reader.view(lesson))

    def _verify(self, view: View) -> None:
        # All of them: what is rotten is then fetched in one go.
        if [part for part in parts(view.manifest) if not self._good(part, view)]:
            raise _incomplete("a part is missing or is not what the manifest says")

    def _good(self, part: Part, view: View) -> bool:
        file = f"{part.rendition}/{part.name}"
        digest = self._verifier.digest(part)
        known = digest and digest != UNREADABLE
        if known and digest != part.digest and digest != view.stand_ins.get(file):
            self._verifier.set_aside(part.lesson, file, part.digest)
        return digest == part.digest

    def top_digest(self, lesson: str, name: str) -> str:
        """SHA-256 of `journal.jsonl` or `events.jsonl` as it is here, "" if it is not: a source
        that has the same need not send it."""
        found = hash_file(self._reader.path(lesson) / name) if name in (JOURNAL, EVENTS) else None
        return found[1] if found is not None else ""

    # Reading.

    def view(self, lesson: str) -> tuple[Manifest, Mapping[str, float]]:
        """What the lesson consists of, for playlists (parts may be missing here), and which of its
        renditions grow (`View.growing`). Raises Refused 404, OSError."""
        view = self._reader.view(lesson)
        return view.manifest, view.growing

    def hole(self, lesson: str) -> tuple[str, str] | None:
        """(rendition, name) of a part of a running lesson that was missed here, and of which no
        source has told yet; None when nothing is missing. Raises Refused 404, OSError."""
        return None if self._room.root else merge.hole(self._reader.view(lesson))

    def path(self, lesson: str) -> Path:
        """The lesson's directory. Raises Refused 404 when nothing is known of it, OSError."""
        self._reader.view(lesson)
        return self._archives / lesson

    def find(self, lesson: str, rendition: str, name: str) -> Found | None:
        """A part of the lesson, hashed when it is first asked for after a restart; counts as use.

        None: the lesson has no such part. What is neither the part nor a stand-in is set aside.
        Raises Refused 404 when nothing is known of the lesson, Absent when the file cannot be read
        now, OSError.
        """
        view = self._reader.view(lesson)
        file = f"{rendition}/{name}"
        wanted = view.files.get(file)
        if wanted is None:
            return None
        self._room.used(lesson)
        digest = self._verifier.digest_of(lesson, file)
        path = Path(f"{self._archives}/{lesson}/{file}")
        if digest == wanted.digest:
            return Found(path, wanted.digest)
        if digest and digest == view.stand_ins.get(file):
            return Found(None, wanted.digest, (path, digest))
        if digest == UNREADABLE:
            raise _unreadable()
        if digest:
            self._verifier.set_aside(lesson, file, wanted.digest)
        return Found(None, wanted.digest)

    def open_verified(self, lesson: str, rendition: str, name: str) -> Path | None:
        """The file, if it is here and is what the manifest says; hashed when it is first asked for
        after a restart. None: no such part, missing, or rotten and so set aside. Counts as use.
        Raises Refused 404 when nothing is known of the lesson, Absent when it cannot be read now,
        OSError."""
        found = self.find(lesson, rendition, name)
        return found.path if found is not None else None

    def verified(self, lesson: str, directory: str, name: str, digest: str) -> Path | None:
        """A file of captions or copies, if it is here and has this digest; hashed when it is first
        asked for after a restart. None: missing, or rotten and so set aside. Raises Absent when it
        cannot be read now, OSError."""
        file = f"{directory}/{name}"
        path = self._reader.path(lesson) / directory / name
        found = self._verifier.digest_of(lesson, file)
        if found == digest:
            return path
        if found == UNREADABLE:
            raise _unreadable()
        if found:
            self._verifier.set_aside(lesson, file, digest)
        return None

    # What the reader finds, while it holds its lock.

    def _damaged(self, lesson: str, name: str) -> None:
        self._room.unsettle(lesson)

    def _check_top(self, lesson: str) -> None:
        self._verifier.check_top(lesson)

    # Space.

    def held(self) -> list[Held]:
        """Every lesson of which something is here, in order of name. Cheap: from memory."""
        return self._room.held()

    def holding(self, lesson: str) -> Held | None:
        """One of `held`, or None."""
        return self._room.holding(lesson)

    def pin(self, lesson: str, on: bool = True) -> None:
        """Keep the lesson whatever happens (it need not be here yet), or no longer."""
        self._room.pin(lesson, on)

    def wanted(self, lesson: str, at: float | None) -> None:
        """The timetable wants the lesson for `at` (unix seconds), or None: no longer."""
        self._room.want(lesson, at)

    def timetable(self, wants: Mapping[str, float]) -> None:
        """All that the timetable wants, lesson to unix seconds; what is not in it is wanted no
        longer. Call it whenever a source has told of its lessons: our own clock withdraws none."""
        self._room.timetable(wants)

    def used(self, lesson: str) -> None:
        """Somebody watches it now."""
        self._room.used(lesson)

    def room_for(self, lesson: str, epoch: float = 0.0) -> int:
        """Bytes that could be had for the lesson: free now, or taken by lessons that matter less.
        Fetch nothing that is larger: it would put out what matters more, and be put out itself.
        epoch: when it began (unix seconds), as its source says; after `begin` it is known here."""
        return self._room.room_for(lesson, epoch)

    def make_room(self, size: int, lesson: str | None = None) -> int:
        """Put out lessons until `size` bytes fit under quota and floor; returns the bytes freed.

        What `claim` has a right to stays free besides, as far as lessons are put out for it that
        somebody else has a copy of.
        lesson: the one that needs them; only what matters less than it is put out, and nothing if
        that would not be enough. Never put out: what is pinned, live, recorded or served now; on
        the root relay, anything at all. Raises Absent.
        """
        return self._room.make_room(size, lesson)

    def was_evicted(self, lesson: str) -> bool:
        """Whether it was put out for lack of space, and nobody has asked for it since: not worth
        fetching again by itself."""
        entry = self._room.entry(lesson)
        return entry is not None and entry.evicted

    def space(self) -> Space:
        """How full it is."""
        return self._room.space()

    def counters(self) -> dict[str, int]:
        """held_bytes, held_lessons, quota_bytes, floor_bytes, free_bytes, disk_full, evictions,
        evicted_bytes, verified, rotten, adopted, refused: the last ones since this process began.
        """
        ours = {"adopted": self._adopted, "refused": self._refused}
        return self._room.counters() | self._verifier.counts | ours

    def tend(self) -> None:
        """Once a minute: look what is here, keep quota and floor, save what changed. Never raises
        for a disk that fails."""
        self._room.tend()

    def close(self) -> None:
        """Save what is to be remembered."""
        self._room.save()


def _same(path: Path, data: bytes) -> bool:
    return size_of(path) == len(data) and path.read_bytes() == data


def _keep(path: Path, data: bytes) -> None:
    """Write a small file unless it says this already."""
    if not _same(path, data):
        write_atomic(path, data)


def _live_now() -> Refused:
    return Refused(
        409,
        "lesson-live",
        "The lesson is live here.",
        fix="Wait until it has ended.",
        field="lesson",
    )


def _unreadable() -> Absent:
    return Absent(
        "This part of the lesson cannot be read from the disk now.",
        fix="Try again; when it goes on, look at the relay's log and at its disk.",
        retry_after=5.0,
    )


def _incomplete(why: str) -> Refused:
    return Refused(
        409,
        "archive-incomplete",
        f"The lesson is not whole: {why}.",
        fix="Ask what is missing, and fetch that.",
        field="lesson",
    )
