"""Relays whose tokens count no more: told from above, kept on disk, told on to those below.

A token is checked without asking anybody, so what was taken back must be known here. Lives here:
the list and its file. Must not live here: the check itself (`access`).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

from classroom.errors import Refused
from classroom.tokens import Claims
from classroom.wire import MAX_REVOKED, RelayRevoked
from relay.cache.files import write_atomic

_log: Final = logging.getLogger("relay.service")


class Revoked:
    """Call `observe` to hear of changes."""

    def __init__(self, file: Path) -> None:
        """file: where the list is kept."""
        self._file = file
        self._ids: tuple[str, ...] = ()
        self._observers: set[Callable[[], None]] = set()
        try:
            table = json.loads(file.read_bytes())
            self._ids = tuple(str(one)[:100] for one in table if one)[:MAX_REVOKED]
        except FileNotFoundError:
            pass
        except (OSError, ValueError, TypeError) as error:
            _log.warning("kept-revocations-unusable", extra={"reason": str(error)})

    @property
    def message(self) -> RelayRevoked:
        """What relays below are told."""
        return RelayRevoked(self._ids)

    def observe(self, observer: Callable[[], None]) -> Callable[[], None]:
        """Call `observer()` at each change; the result ends it."""
        self._observers.add(observer)
        return lambda: self._observers.discard(observer)

    def told(self, message: RelayRevoked) -> None:
        """The list as those above tell it; replaces the last."""
        if message.relays == self._ids:
            return
        self._ids = message.relays
        try:
            write_atomic(self._file, json.dumps(self._ids).encode())
        except OSError as error:
            _log.warning("revocations-not-kept", extra={"reason": str(error)})
        for observer in list(self._observers):
            observer()

    def check(self, claims: Claims) -> None:
        """Raise Refused 403 `relay-revoked` if the holder of `claims` is in the list."""
        if claims.subject in self._ids:
            raise Refused(
                403,
                "relay-revoked",
                "The central school took this relay's enrolment back.",
                fix="Ask the central school whether that is right; a new code enrols it again.",
                field="Authorization",
            )
