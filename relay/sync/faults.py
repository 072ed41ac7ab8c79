"""Whose fault it is when a request ends with an error: a source's, the disk's, or the lesson's.

Here: what plan, queue and lists are told of it. Not here: the requests (`sources`), how long a
source is left alone (`plan`), bugs (`edge`).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from classroom.errors import Absent, ClassroomError, Refused
from relay.sync.carrying import DiskAway, WrongDigest
from relay.sync.sources import Lacking, Source

if TYPE_CHECKING:
    from relay.sync.client import Sync

_log: Final = logging.getLogger("relay.sync")

# A lesson for which there is no room, or of which nothing can be asked for now, waits (s).
PUT_OFF_SECONDS: Final = 600.0
# One that is wrong wherever it is, or that met a bug (s).
WRONG_SECONDS: Final = 6 * 3600.0
# One that runs here, or in which something rotten was found (s).
_LIVE_SECONDS: Final = 60.0
_INCOMPLETE_SECONDS: Final = 60.0


def went_wrong(
    sync: Sync, lesson: str, source: Source, error: ClassroomError, manifest: str = ""
) -> None:
    """A request ended by `error`: let plan and queue know whose fault it is. manifest: digest of
    the one that was asked by, "" for none."""
    now = sync.time.moment().now
    if sync.is_live and not source.near and not isinstance(error, Refused):
        return  # we cut it ourselves
    match error:
        case DiskAway():
            sync.leave_disk(error.what)
        case WrongDigest():
            opened = sync.queue.opened(lesson)
            left_alone = opened is not None and opened.wrong(error.part, now)
            sync.counts["rubbish"] += 1
            _log.warning(
                "sync-part-refused",
                extra={"lesson": lesson, "source": source.name, "part": error.part.name},
            )
            if left_alone or not error.resumed:
                sync.plan.source_failed(source.name, now, rubbish=True)
        case Lacking():
            for archive in filter(None, (lesson, manifest)):
                sync.plan.source_lacks(source.name, archive, now)
            sync.ask_lists()  # it may have another one
        case Refused(code="lesson-live"):
            sync.plan.put_off(lesson, now + _LIVE_SECONDS)
        case Refused(code="no-room"):
            sync.plan.put_off(lesson, now + PUT_OFF_SECONDS)
        case Refused(code="part-unknown"):
            sync.queue.reopen(lesson)
        case Refused(code="archive-incomplete"):
            # What was rotten is missing from now on; what cannot be read just now may be later.
            sync.queue.reopen(lesson)
            sync.plan.put_off(lesson, now + _INCOMPLETE_SECONDS)
        case Refused():
            sync.counts["rubbish"] += 1
            sync.plan.source_failed(source.name, now, rubbish=True)
            if error.code != "source-rubbish":
                # The archive itself is wrong, and so it is wherever its digest is the same.
                sync.plan.put_off(lesson, now + WRONG_SECONDS)
            _log.warning(
                "sync-source-refused",
                extra={"lesson": lesson, "source": source.name, "reason": error.detail},
            )
        case _:
            sync.counts["failures"] += 1
            sync.plan.source_failed(source.name, now)
            reason = error.what if isinstance(error, Absent) else str(error)
            _log.info("sync-source-away", extra={"source": source.name, "reason": reason})
