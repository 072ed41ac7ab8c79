"""What the service is told of each room's rung: every change, and again now and then.

Lives here: which notices are due and what stands in them. Must not live here: sending them
(media_process), deciding a rung (relay.sfu.selection). Seconds and bit/s, but `playout_ms`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from relay.sfu.rungs import Rung
from relay.transport.peer import Peer

# A service that began anew knows of every room after this, and forgets those that are gone.
AGAIN_SECONDS: Final = 5.0


@dataclass(slots=True)
class _Told:
    """What was told of one session last, and when; `rung` is the newest that said the same."""

    rung: Rung
    key: tuple[str, str, float, bool]
    at: float


class RungNotices:
    """One per media process."""

    def __init__(self) -> None:
        self._told: dict[str, _Told] = {}
        """By session."""

    def due(self, peers: Iterable[Peer], now: float) -> list[dict[str, Any]]:
        """The notices to send now. Call a few times a second with all peers."""
        notices: list[dict[str, Any]] = []
        told: dict[str, _Told] = {}
        for peer in peers:
            viewer = peer.viewer
            rung = peer.expects if viewer is None else viewer.rung
            if rung is None or (viewer is not None and not viewer.running):
                continue
            before = self._told.get(peer.identity)
            if before is not None and before.rung is rung and now - before.at < AGAIN_SECONDS:
                told[peer.identity] = before
                continue
            key = (rung.rung, rung.reason, rung.playout, rung.stills_bitrate > 0)
            if before is not None and before.key == key and now - before.at < AGAIN_SECONDS:
                before.rung = rung
                told[peer.identity] = before
                continue
            told[peer.identity] = _Told(rung, key, now)
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
