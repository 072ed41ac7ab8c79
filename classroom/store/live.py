"""Live state: relays that are alive, what they report of lessons, and who hears of changes.

All of it can be lost: relays connect again and report again within seconds. Two implementations
pass the same tests: `memory` for one control-plane process, `live_redis` for several. Dates are
unix seconds, passed in. Any method may raise Absent when the state cannot be reached.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Annotated, Final, Protocol

from classroom.wire import Recording, RelayNode, RoomRung, VoiceWish
from classroom.wire.fields import Items
from classroom.wire.messages import Count, Date, Label, LessonId, RelayName, Sources, Url

# A change that says: something was missed, look at all again.
EVERYTHING: Final = "everything"
RELAYS: Final = "relays"
# Before a lesson's id: what its rooms receive has changed, and nothing else of it.
ROOMS: Final = "rooms "


@dataclass(frozen=True, slots=True)
class RelayAlive:
    """A relay that is connected to some control-plane process.

    since: when this connection began; tells an older connection of the same relay apart.
    seen_at: when it last said anything.
    """

    name: RelayName
    url: Url
    version: Label
    viewers_max: Count
    since: Date
    seen_at: Date


@dataclass(frozen=True, slots=True)
class Report:
    """What a relay last said of a lesson.

    at: when; published_at: when it last reported media arriving, 0.0 if never. Rooms are those
    connected to that relay itself.
    """

    lesson: LessonId
    relay: RelayName
    publishing: bool
    sources: Sources
    rooms: Count
    recording: Recording
    at: Date
    published_at: Date = 0.0


@dataclass(frozen=True, slots=True)
class RoomsReport:
    """What the rooms of a lesson receive, as one relay last told; wish: how it wants the voice."""

    lesson: LessonId
    relay: RelayName
    rooms: Annotated[tuple[RoomRung, ...], Items(2_000)]
    wish: VoiceWish | None = None


@dataclass(frozen=True, slots=True)
class BelowReport:
    """The relays below `relay`, at any depth, as it last told."""

    relay: RelayName
    nodes: Annotated[tuple[RelayNode, ...], Items(5_000)]


class LiveState(Protocol):
    """The interface; see the module for its promises."""

    async def keep_relay(self, relay: RelayAlive) -> None:
        """Add `relay`, or renew it; the newest connection of a name stands."""

    async def drop_relay(self, name: str, since: float) -> None:
        """Remove the connection that began at `since`; a newer one of that name stays."""

    async def relays(self, now: float) -> list[RelayAlive]:
        """Relays heard within the time to live, by name."""

    async def keep_report(self, report: Report) -> None:
        """Keep `report` as the latest of its relay and lesson, its `published_at` brought on."""

    async def reports(self, lesson: str | None = None) -> list[Report]:
        """The latest reports, of one lesson or of all, however old."""

    async def keep_rooms(self, report: RoomsReport) -> None:
        """Keep `report` as the latest of its relay and lesson."""

    async def rooms(self, lesson: str | None = None) -> list[RoomsReport]:
        """The latest reports of rooms, of one lesson or of all, however old."""

    async def drop_rooms(self, relay: str, lesson: str | None = None) -> list[str]:
        """Drop what `relay` told of rooms, of one lesson or of all; the lessons it told of."""

    async def keep_below(self, report: BelowReport) -> None:
        """Keep `report` as the latest of its relay; one without nodes is as good as none."""

    async def below(self) -> list[BelowReport]:
        """The latest reports of relays below others, by relay, however old."""

    async def forget_lesson(self, lesson: str) -> None:
        """Drop all reports of `lesson`."""

    async def announce(self, change: str) -> None:
        """Tell every process: a lesson id, RELAYS, or ROOMS and a lesson id."""

    def changes(self) -> AbstractAsyncContextManager[AsyncIterator[str]]:
        """Changes announced from entering on, by any process, EVERYTHING after a gap."""

    async def check(self) -> None:
        """Return if the state can be reached; raises Absent."""

    async def close(self) -> None:
        """Give back connections."""


def brought_on(report: Report, before: Report | None) -> Report:
    """`report` with its `published_at`: now if media arrives, else as `before` had it."""
    if report.publishing:
        published_at = report.at
    else:
        published_at = before.published_at if before is not None else report.published_at
    return Report(
        lesson=report.lesson,
        relay=report.relay,
        publishing=report.publishing,
        sources=report.sources,
        rooms=report.rooms,
        recording=report.recording,
        at=report.at,
        published_at=published_at,
    )
