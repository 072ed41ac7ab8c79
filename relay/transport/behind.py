"""Holds live media back from a room that watches the recording, and lets it come again.

Lives here: what that means for a session at each point of its life. Must not live here: why a room
does so (its page says that), what such a viewer is told (relay.sfu.selection). The session stays
with its keys, numbers and path, so that going live again takes one message and no join.
"""

from __future__ import annotations

from relay.transport.peer import Peer


def put(peer: Peer, reason: str, now: float) -> None:
    """Send a viewer nothing live because of `reason` (as in PROTOCOL.md); empty: send again.

    Before its media path stands this is only noted; `follow` does it then.
    """
    peer.behind = reason
    follow(peer, now)


def follow(peer: Peer, now: float) -> None:
    """Do as was noted, if the viewer is there and does otherwise."""
    viewer = peer.viewer
    if viewer is None or viewer.behind == peer.behind:
        return
    viewer.behind = peer.behind
    if viewer.running:
        # What is on its way stops at once, and what comes begins as for a room that comes back.
        peer.router.pause_viewer(peer.identity, now)
        peer.router.resume_viewer(peer.identity, now)
