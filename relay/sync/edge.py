"""The edge of the sync: what a bug may end, and what goes on.

What an archive, a list or a source is like comes from elsewhere, and may meet a bug that nobody
has met. It must not end the service, in which a lesson may be running: it is logged in full,
counted, and the work that met it is over. Errors that are meant (`ClassroomError`) are for the
work itself to understand, before they come here.
"""

from __future__ import annotations

import logging
from collections import Counter
from types import TracebackType
from typing import Final

_log: Final = logging.getLogger("relay.sync")


class Edge:
    """Lets what goes wrong in its block end the block alone. counts: has "bugs"."""

    def __init__(self, counts: Counter[str], *, lesson: str = "", source: str = "") -> None:
        self._counts = counts
        self._facts = {"lesson": lesson, "source": source}

    def __enter__(self) -> None:
        pass

    # Says bool, for a type checker to know that what comes after the block is reached.
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        _log.error("sync-bug", exc_info=error, extra=self._facts)
        self._counts["bugs"] += 1
        return True
