"""What the service is told of each room's rung: every change, and again now and then.

Lives here: which notices are due and what stands in them. Must not live here: sending them
(media_process), deciding a rung (relay.sfu.selection). Seconds and bit/s, but `playout_ms`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from relay.transport.peer import Peer

# A service that began anew knows of every room after this, and forgets those that are gone.
AGAIN_SECONDS: Final = 5.0


class RungNotices:
    """One per media process."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[tuple[str, str, float, bool], float]] = {}
        """By session: what was told of it last, and when."""

    def due(self, peers: Iterable[Peer], now: float) -> list[dict[str, Any]]:
        """The notices to send now. Call a few times a second with all peers."""
        notices: list[dict[str, Any]] = []
        told: dict[str, tuple[tuple[str, str, float, bool], float]] = {}
        for peer in peers:
            viewer = peer.viewer
            if viewer is None or not viewer.running or viewer.rung is None:
                continue
            rung = viewer.rung
            key = (rung.rung, rung.reason, rung.playout, rung.stills_bitrate > 0)
            before = self._told.get(peer.identity)
            if before is not None and before[0] == key and now - before[1] < AGAIN_SECONDS:
                told[peer.identity] = before
                continue
            told[peer.identity] = (key, now)
            notices.append(
                {
                    "lesson": peer.lesson,
                    "session": peer.identity,
                    "subject": peer.subject,
                    "rung": rung.rung,
                    "reason": rung.reason,
                    "bitrate": rung.bitrate,
                    "loss": rung.loss,
                    "round_trip": rung.round_trip,
                    "stills_bitrate": rung.stills_bitrate,
                    "playout_ms": round(rung.playout * 1e3),
                }
            )
        self._told = told
        return notices
