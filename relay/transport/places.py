"""Places: a teacher's in a lesson, rooms' on a full relay; who gives one up, and for whom.

Rules only: what holds a place, which session ends. Not here: offers, refusals (sessions).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from relay.sfu.router import Router
from relay.transport.peer import Peer
from relay.transport.wire import Wire

# On a full relay a subject with more sessions than this gives one up for somebody else: a page that
# reloads in a loop must not take the places of others.
SUBJECT_FAIR: Final = 8
# A browser checks the path that it uses every 2.5 s.
QUIET_SECONDS: Final = 3.0
# Another teacher may take a lesson over whose teacher's session has been silent so long: three
# consent checks of a browser (2.5 s apart), or as long for a new session to come up.
HELD_SECONDS: Final = 8.0


def is_held(router: Router[Wire], teacher: Peer | None, now: float) -> bool:
    """Whether the lesson's teacher is there: media comes, or the session is alive or new.

    teacher: the session that publishes, None when it is gone.
    """
    if router.is_publishing(now):
        return True
    if teacher is None:
        return False
    seen = teacher.created_at if teacher.ice.last_check is None else teacher.ice.last_check
    return now - seen < HELD_SECONDS


def taken(peers: Iterable[Peer]) -> list[Peer]:
    """Rooms' sessions that hold a place."""
    return [peer for peer in peers if peer.role == "viewer" and not peer.ended.is_set()]


def make_room(peers: Iterable[Peer], subject: str, most: int, now: float) -> None:
    """Where `most` places are taken, end the session that has been without consent for longest,
    else one of a subject that has far more sessions than `subject`, which asks for one."""
    sessions = taken(peers)
    if len(sessions) < most:
        return
    away = [peer for peer in sessions if peer.wire and not peer.ice.has_consent(now)]
    if away:
        min(away, key=lambda peer: peer.ice.last_check or 0.0).end("its place was needed")
        return
    counts = Counter(peer.subject for peer in sessions)
    crowd, many = counts.most_common(1)[0]
    if many > SUBJECT_FAIR and counts[subject] < many - 1:
        newest = max(
            (peer for peer in sessions if peer.subject == crowd),
            key=lambda peer: (peer.wire is None, peer.created_at),
        )
        newest.end("a place for another room was needed")


def quieten(peers: Iterable[Peer], subject: str, now: float) -> None:
    """Send nothing more to quiet sessions of `subject`, now that it asks for another one.

    Its page was killed and is back: what its former session is still sent, until consent lapses,
    would take the very link that the new one needs. One that lives after all has its next check.
    """
    for peer in taken(peers):
        last = peer.ice.last_check
        if peer.subject == subject and last is not None and now - last > QUIET_SECONDS:
            peer.router.pause_viewer(peer.identity, now)
