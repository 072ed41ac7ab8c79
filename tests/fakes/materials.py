"""Materials of lessons, made up: bytes, lists, and putting both into a store."""

from __future__ import annotations

import hashlib
import random

from classroom.archive.materials import Material, Materials
from classroom.wire import LessonInfo, LessonState, Recording
from classroom.wire import RecordingState as State
from relay.cache.materials import MaterialStore

KB = 1000


def some_bytes(seed: int, size: int = 100 * KB) -> bytes:
    """Always the same for a seed."""
    return random.Random(seed).randbytes(size)


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def material(data: bytes, name: str = "bài.pdf") -> Material:
    return Material(name, len(data), sha(data))


def list_of(lesson: str, *files: bytes) -> bytes:
    """The list, as it is told."""
    names = (f"bài {number}.pdf" for number in range(len(files)))
    return Materials(lesson, tuple(map(material, files, names))).encode()


def take(store: MaterialStore, lesson: str, *files: bytes, at: float = 0.0) -> str:
    """The list without its files; its digest."""
    data = list_of(lesson, *files)
    store.take(lesson, data, sha(data), at)
    return sha(data)


def bring(store: MaterialStore, *files: bytes) -> None:
    """Files, at once."""
    for data in files:
        if not store.blobs.has(sha(data)):
            store.begin(material(data))
            store.blobs.write(sha(data), 0, data)
            store.blobs.complete(sha(data))


def fill(store: MaterialStore, lesson: str, *files: bytes, at: float = 0.0) -> str:
    """A list and its files; the list's digest."""
    digest = take(store, lesson, *files, at=at)
    bring(store, *files)
    return digest


def coming(
    lesson: str, digest: str | None, planned_at: float | None = None, *, live: bool = False
) -> LessonInfo:
    """As those above tell of it."""
    state = LessonState.LIVE if live else LessonState.PLANNED
    recording = Recording(State.NONE, "", 0.0)
    return LessonInfo(
        *(lesson, lesson, "", state, False, (), 0, recording, None),
        planned_at=planned_at,
        materials=digest,
    )
