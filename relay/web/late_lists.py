"""Lists of materials that changed after their lesson: told from above, kept, told to those below.

A lesson that is over is told of no more, but its teacher may add a file or take one back. Lives
here: which list each of these lessons has by the last change that was heard of, on the line or in
what sources offer, and the file of that. Must not live here: the words beside an archive
(`relay.sync.about`), lists and files themselves (`relay.cache.materials`).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from classroom.archive.canonical import DIGEST_PATTERN
from classroom.archive.names import is_lesson
from classroom.wire import MAX_LISTS, ListChange
from relay.cache.files import write_atomic

_log: Final = logging.getLogger("relay.service")

_LAST_DATE: Final = 253_402_300_800  # unix seconds; what lies beyond is no date (year 9999)

Observer = Callable[[str], None]


class LateLists:
    """Call `observe` to hear of changes. Changed on the service's event loop, read anywhere."""

    def __init__(self, file: Path) -> None:
        """file: where they are kept."""
        self._file = file
        self._observers: set[Observer] = set()
        # The newest first.
        self._known: dict[str, ListChange] = {}
        try:
            self._keep(map(_read, json.loads(file.read_bytes())))
        except FileNotFoundError:
            pass
        except (OSError, ValueError, TypeError, RecursionError) as error:
            _log.warning("late-lists-unusable", extra={"reason": str(error)})

    def of(self, lesson: str) -> ListChange | None:
        """What is known of the lesson's list, None where nothing changed of late."""
        return self._known.get(lesson)

    @property
    def all(self) -> list[ListChange]:
        """What relays below are told, the newest first."""
        return list(self._known.values())

    def observe(self, observer: Observer) -> Callable[[], None]:
        """Call `observer(lesson)` at each change, which `of` knows by then; the result ends it."""
        self._observers.add(observer)
        return lambda: self._observers.discard(observer)

    def take(self, told: Iterable[ListChange]) -> None:
        """What somebody above or beside tells. Of two changes of a list the later one counts, so
        the order in which they are heard of does not matter."""
        news = [one for one in told if self._is_news(one)]
        if not news:
            return
        # All of them for those who observe; then the latest, which are kept.
        self._known = {**self._known, **{one.lesson: one for one in news}}
        for one in news:
            for observer in list(self._observers):
                observer(one.lesson)
        self._keep(self._known.values())
        table = [(one.lesson, one.materials, one.changed_at) for one in self._known.values()]
        try:
            write_atomic(self._file, json.dumps(table).encode())
        except OSError as error:
            _log.warning("late-lists-not-kept", extra={"reason": str(error)})

    def _is_news(self, one: ListChange) -> bool:
        known = self._known.get(one.lesson)
        return known is None or known.changed_at < one.changed_at

    def _keep(self, known: Iterable[ListChange]) -> None:
        ordered = sorted(known, key=lambda one: (-one.changed_at, one.lesson))
        self._known = {one.lesson: one for one in ordered[:MAX_LISTS]}


def _read(row: object) -> ListChange:
    """Raises ValueError, TypeError."""
    if not isinstance(row, list) or len(row) != 3:
        raise ValueError("a line is not one")
    lesson, digest, at = row
    if not isinstance(lesson, str) or not is_lesson(lesson) or not 0.0 < at < _LAST_DATE:
        raise ValueError("a lesson or a date is none")
    if digest is not None and not DIGEST_PATTERN.fullmatch(digest):
        raise ValueError("a digest is none")
    return ListChange(lesson, digest, float(at))
