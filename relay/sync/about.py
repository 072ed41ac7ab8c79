"""Writing the words about a lesson beside its archive, `about.json`.

Here: the one way to do so, for whoever hears of them: the library, a source's offer, a drive. Not
here: reading them (`offer.about_of`). The digest of the list of materials stands there with the
date of its change where it changed after the lesson (`materials_at`, see `ListChange`), and what is
told with a later date, or with one at all, is not replaced by what is not. All calls block; they
may be made side by side.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from classroom.wire import ListChange
from relay.cache.files import write_atomic
from relay.sync.offer import ABOUT, WORDS, about_of, list_in

_log: Final = logging.getLogger("relay.sync")

# Reading and writing go together: what one told must not get lost under what another did.
_LOCK: Final = threading.Lock()


def keep_about(
    archives: Path, lesson: str, about: Mapping[str, object], *, flushed: bool = True
) -> bool:
    """Words about a lesson (of `WORDS`; those that are None or missing are not known), as the
    library finds them beside its archive; whether they are others now. flushed: what is lost in a
    power cut is not told again soon."""
    with _LOCK:
        before = about_of(archives / lesson)
        after = dict(about)
        if list_in(before)[1] > list_in(after)[1]:
            after |= {name: before.get(name) for name in ("materials", "materials_at")}
        return _write(archives, lesson, after, flushed)


def keep_list(archives: Path, change: ListChange) -> bool:
    """The list of a lesson's materials is another one; whether that was not known here. Nothing
    where there is no archive of it."""
    if not (archives / change.lesson).is_dir():
        return False
    with _LOCK:
        about: dict[str, object] = {**about_of(archives / change.lesson)}
        if list_in(about)[1] >= change.changed_at:
            return False
        about |= {"materials": change.materials, "materials_at": change.changed_at}
        return _write(archives, change.lesson, about, True)


def _write(archives: Path, lesson: str, about: Mapping[str, object], flushed: bool) -> bool:
    document = {"id": lesson, **dict.fromkeys(WORDS), **about}
    if document["materials_at"] is None:
        # As all had it before there was such a thing.
        del document["materials_at"]
    file = archives / lesson / ABOUT
    text = json.dumps(document, ensure_ascii=False, sort_keys=True).encode(errors="replace")
    try:
        # As bytes: after a power cut they may be no text at all.
        if file.exists() and file.read_bytes() == text:
            return False
        if flushed:
            write_atomic(file, text)
        else:
            temporary = file.with_suffix(".tmp")
            temporary.write_bytes(text)
            os.replace(temporary, file)
    except OSError as error:
        _log.warning("lesson-words-not-kept", extra={"reason": str(error)})
        return False
    return True
