"""What each room on this relay receives now, as the media process tells it.

One place keeps the last notice of every room and tells pages, control plane and metrics from it.
Lives here: reading notices, forgetting rooms that nothing is said of, counting. Must not live here:
sockets, and which rung a room should have or how long its browser waits for repairs, which the
media process decides.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from classroom.clock import Clock, monotonic, wall
from classroom.wire import RoomRung, Rung, RungName, fit_rooms, is_lesson_id
from classroom.wire.messages import RelayRooms

_log: Final = logging.getLogger("relay.service")

# Notices come every 5 s; a room of which two did not come has left.
FORGET_SECONDS: Final = 12.0


@dataclass(frozen=True, slots=True)
class RoomState:
    """One room's session, as last told.

    since: Unix seconds since when it has this rung for this reason. bitrate: bit/s of the link.
    playout_ms: how long its browser waits for repairs. stills_bitrate: bit/s that still pictures
    may take. heard_at: monotonic seconds.
    """

    lesson: str
    session: str
    subject: str
    rung: RungName
    reason: str
    since: float
    bitrate: float
    loss: float
    round_trip: float | None
    playout_ms: int
    stills_bitrate: float
    heard_at: float


class Rungs:
    """Call `observe` to hear of changes. Lives on the service's event loop."""

    def __init__(self, now: Clock = monotonic, date: Clock = wall) -> None:
        self._now = now
        self._date = date
        self._states: dict[tuple[str, str], RoomState] = {}
        self._names: dict[str, str] = {}
        self._observers: set[Callable[[RoomState], None]] = set()
        self._unreadable = 0
        self.changes: Counter[str] = Counter()
        """How often a room came to each rung, since this process began."""

    def observe(self, observer: Callable[[RoomState], None]) -> Callable[[], None]:
        """Call `observer(state)` at each notice of a room; the result ends it."""
        self._observers.add(observer)
        return lambda: self._observers.discard(observer)

    def name(self, subject: str, name: str) -> None:
        """What people call the room whose token has this subject."""
        self._names.pop(subject, None)
        self._names[subject] = name
        if len(self._names) > _NAMES_KEPT:
            del self._names[next(iter(self._names))]

    def receive(self, notice: Mapping[str, Any]) -> None:
        """A `rung` notice of the media process. One that cannot be read is logged and dropped."""
        try:
            state = self._read(notice)
        except (KeyError, TypeError, ValueError) as error:
            # Both processes are of one version: a bug, but none that may end every lesson here.
            if not self._unreadable:
                _log.error("rung-notice-unreadable", extra={"reason": repr(error)})
            self._unreadable += 1
            return
        key = (state.lesson, state.session)
        before = self._states.get(key)
        if before is None or before.rung is not state.rung:
            self.changes[state.rung.value] += 1
        self._states[key] = state
        for observer in list(self._observers):
            observer(state)

    def _read(self, notice: Mapping[str, Any]) -> RoomState:
        lesson, session = str(notice["lesson"]), str(notice["session"])
        rung, reason = RungName(notice["rung"]), str(notice["reason"])
        if not is_lesson_id(lesson) or not session:
            raise ValueError("lesson or session")
        before = self._states.get((lesson, session))
        same = before is not None and (before.rung, before.reason) == (rung, reason)
        given = notice.get("round_trip")
        return RoomState(
            lesson=lesson,
            session=session,
            subject=str(notice["subject"]),
            rung=rung,
            reason=reason,
            since=before.since if before is not None and same else self._date(),
            bitrate=min(1e10, max(0.0, float(notice["bitrate"]))),
            loss=min(1.0, max(0.0, float(notice["loss"]))),
            round_trip=max(0.0, float(given)) if given is not None else None,
            playout_ms=int(notice["playout_ms"]),
            stills_bitrate=max(0.0, float(notice.get("stills_bitrate") or 0.0)),
            heard_at=self._now(),
        )

    def lost(self) -> None:
        """The media process is gone, and every session with it."""
        self._states.clear()

    def expire(self) -> None:
        """Forget rooms that nothing was said of for long."""
        oldest = self._now() - FORGET_SECONDS
        for key in [key for key, state in self._states.items() if state.heard_at < oldest]:
            del self._states[key]

    def of(self, lesson: str, subject: str, session: str | None = None) -> RoomState | None:
        """What a room receives in its media session; of several that its link has, while it is not
        known which one is its own, the one told last."""
        if session is not None:
            state = self._states.get((lesson, session))
            return state if state is not None and state.subject == subject else None
        found = (
            state
            for state in self._states.values()
            if state.lesson == lesson and state.subject == subject
        )
        return max(found, key=lambda state: state.heard_at, default=None)

    def states(self, lesson: str | None = None) -> list[RoomState]:
        """All rooms of one lesson, or of all."""
        return [state for state in self._states.values() if lesson in (None, state.lesson)]

    def lessons(self) -> set[str]:
        """Lessons that have rooms."""
        return {state.lesson for state in self._states.values()}

    def rooms(self, lesson: str) -> dict[str, RoomRung]:
        """As the control plane is told, by media session: several rooms may share a link."""
        rooms: dict[str, RoomRung] = {}
        for state in self.states(lesson):
            name = self._names.get(state.subject, "")[:100]
            room = state.session[:200]
            rooms[room] = RoomRung(room, name, state.rung, state.reason, state.since)
        return rooms

    def counts(self) -> dict[str, int]:
        """Rooms by rung, each rung named."""
        found = Counter(state.rung.value for state in self._states.values())
        return {rung.value: found[rung.value] for rung in RungName}


# More rooms than a relay has places for; pages that open again bring their names along.
_NAMES_KEPT: Final = 20_000


def as_message(state: RoomState) -> Rung:
    """What the room's page is told."""
    return Rung(
        state.lesson,
        state.rung,
        state.reason,
        state.since,
        state.bitrate,
        state.loss,
        state.round_trip,
        state.playout_ms,
    )


def is_news(before: RoomState | None, state: RoomState) -> bool:
    """Whether the room's page, told `before`, should hear of `state`: each word costs its link."""
    if before is None or (before.rung, before.reason) != (state.rung, state.reason):
        return True
    if before.lesson != state.lesson:
        return True
    # Down again only by much, or a link that wavers would stretch and squeeze the voice for ever.
    return state.playout_ms > before.playout_ms or state.playout_ms < before.playout_ms * 0.7 - 50.0


def told(
    lesson: str, before: Mapping[str, RoomRung] | None, now: Mapping[str, RoomRung]
) -> Iterator[RelayRooms]:
    """Messages that bring the control plane from `before` (None: nothing yet) to `now`."""
    known = before or {}
    new = [room for key, room in now.items() if known.get(key) != room]
    gone = [key for key in known if key not in now]
    if before is None or new or gone:
        for number, (some, left) in enumerate(fit_rooms(new, gone)):
            yield RelayRooms(lesson, before is None and number == 0, some, left)
