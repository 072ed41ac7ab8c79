"""What date it is, for a machine without a battery for its clock: as those above this relay say.

A school's mini-PC may wake up years away from today; tokens run out by date. Once the line to the
parent stands, its date counts where our own clock is far off. Nothing here sets the system's clock.
"""

from __future__ import annotations

import logging
from typing import Final

from classroom.clock import Clock, monotonic, wall

_log: Final = logging.getLogger("relay.service")

# Ordinary clocks are seconds off; a link's delay is less than this, too.
_FAR_SECONDS: Final = 300.0


class ServerDate:
    """Call it for the date in unix seconds."""

    def __init__(self, own: Clock = wall, steady: Clock = monotonic) -> None:
        """own: this machine's date. steady: seconds that never jump."""
        self._own = own
        self._steady = steady
        # Date of those above us minus our steady clock; None while ours is near enough.
        self._offset: float | None = None

    def __call__(self) -> float:
        """Unix seconds."""
        return self._own() if self._offset is None else self._steady() + self._offset

    def told(self, offset: float) -> None:
        """Their date is `offset` more than our steady clock."""
        ahead = self._own() - (self._steady() + offset)
        if abs(ahead) < _FAR_SECONDS:
            self._offset = None
            return
        if self._offset is None:
            _log.warning("clock-is-wrong", extra={"ahead_s": round(ahead)})
        self._offset = offset
