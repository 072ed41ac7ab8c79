"""What the service is told of each room's rung: every change, and again now and then.

Lives here: which notices are due and what stands in them. Must not live here: sending them
(media_process), deciding a rung (relay.sfu.selection). Seconds and bit/s, but `playout_ms`.
"""

from __future__ import annotations

from collections.abc import Collection
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

    def due(self, peers: Collection[Peer], now: float) -> list[dict[str, Any]]:
        """The notices to send now. Call a few times a second with all peers."""
        notices: list[dict[str, Any]] = []
        told, here = self._told, 0
        for peer in peers:
            rung = _of(peer)
            if rung is None:
                continue
            here += 1
            before = told.get(peer.identity)
            # Nearly always: so this is all that is done five times a second for each of them.
            if before is not None and before.rung is rung and now - before.at < AGAIN_SECONDS:
                continue
            key = (rung.rung, rung.reason, rung.playout, rung.stills_bitrate > 0)
            if before is not None and before.key == key and now - before.at < AGAIN_SECONDS:
                before.rung = rung
                continue
            told[peer.identity] = _Told(rung, key, now)
            notices.append(_notice(peer, rung))
        if len(told) > here:
            self._forget(peers)
        return notices

    def _forget(self, peers: Collection[Peer]) -> None:
        """Who is gone, or is sent nothing: when that changes, it is news again."""
        here = {peer.identity for peer in peers if _of(peer) is not None}
        self._told = {name: told for name, told in self._told.items() if name in here}


def _of(peer: Peer) -> Rung | None:
    viewer = peer.viewer
    if viewer is None:
        return peer.expects
    return viewer.rung if viewer.running else None


def _notice(peer: Peer, rung: Rung) -> dict[str, Any]:
    return {
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
