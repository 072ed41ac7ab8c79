"""Archives that are finished here and that those above may not know of yet.

An archive is told on each line until a pong shows that it arrived; the list is kept on disk, since
lessons end during outages, too. Lives here: what is still to be told. Must not live here: sockets.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Final

from classroom.wire import RelayArchive
from relay.cache.files import write_atomic

_log: Final = logging.getLogger("relay.service")


class Unreported:
    """`file` keeps it. Times are monotonic seconds."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._archives: dict[str, RelayArchive] = {}
        # When each was sent on the present line.
        self._sent: dict[str, float] = {}
        try:
            for entry in json.loads(file.read_text()):
                archive = RelayArchive(
                    entry["lesson"], entry["duration"], entry["bytes"], tuple(entry["renditions"])
                )
                self._archives[archive.lesson] = archive
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError) as error:
            _log.warning("unreported-archives-unusable", extra={"reason": str(error)})

    def add(self, archive: RelayArchive) -> None:
        """It is complete: to be told."""
        self._archives[archive.lesson] = archive
        self._sent.pop(archive.lesson, None)
        self._store()

    def begin_line(self) -> None:
        """A new line: all is to be told again."""
        self._sent.clear()

    def due(self, now: float) -> Iterator[RelayArchive]:
        """Those not sent on this line yet; each counts as sent when it is given."""
        for lesson, archive in list(self._archives.items()):
            if lesson not in self._sent:
                self._sent[lesson] = now
                yield archive

    def arrived(self, before: float) -> None:
        """All that was sent up to `before` has arrived: a ping sent then was answered."""
        arrived = [name for name, sent in self._sent.items() if sent <= before]
        for name in arrived:
            del self._sent[name]
            self._archives.pop(name, None)
        if arrived:
            self._store()

    def _store(self) -> None:
        entries = [asdict(one) for one in self._archives.values()]
        try:
            write_atomic(self._file, json.dumps(entries).encode())
        except OSError as error:
            _log.warning("unreported-archives-not-kept", extra={"reason": str(error)})
