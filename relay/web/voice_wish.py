"""How the teacher's browser should encode the voice for the rooms that hear it. PURE.

There is one voice for all: when many rooms are poor, fewer bits and longer packets help them more
than they cost the others (60 ms in a packet take 40 ms more, and a third of the headers). Lives
here: when to ask for which. Must not live here: sockets; how a browser does it (client_web).
Opus parameters: RFC 7587 section 6.1.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Final

from classroom.wire import RungName, VoiceWish
from relay.web.rungs import RoomState

# bit/s. Below it the voice with its headers (50 packets a second cost 20 kbit/s of them) leaves
# nothing for a picture.
POOR_BITRATE: Final = 150_000.0
# One or two poor rooms get a thin voice of their own from the root; from here on all get it.
MANY: Final = 3
_SHARE_POOR: Final = 0.5
_SHARE_WELL: Final = 0.3
# s. A storm over one valley passes; a change of the voice's packets is heard by everyone.
_POOR_SECONDS: Final = 10.0
_WELL_SECONDS: Final = 60.0
_WELL_BITRATE: Final = 32_000
_LOW: Final = (RungName.STILLS, RungName.VOICE)


Vote = tuple[VoiceWish | None, int]
"""What a relay below asks for, None while it does not say, and for how many rooms."""


class Wishes:
    """Those of all lessons here."""

    def __init__(self) -> None:
        self._lessons: dict[str, WishOfLesson] = {}

    def update(
        self,
        rooms: Mapping[str, Collection[RoomState]],
        goes_on: Callable[[str], bool],
        now: float,
        below: Mapping[str, Collection[Vote]] = MappingProxyType({}),
    ) -> dict[str, VoiceWish]:
        """What is asked of each lesson's voice. Call about once a second.

        rooms: by lesson. goes_on(lesson): one that does is remembered while all its rooms are
        away, since they come back as poor as they were. now: monotonic seconds. below: what relays
        below ask for, each with its number of rooms.
        """
        for lesson in (*rooms, *below):
            self._lessons.setdefault(lesson, WishOfLesson(lesson))
        for lesson, of in list(self._lessons.items()):
            if lesson in rooms or lesson in below or goes_on(lesson):
                of.update(rooms.get(lesson, ()), now, below.get(lesson, ()))
            else:
                del self._lessons[lesson]
        wishes = {lesson: of.wish for lesson, of in self._lessons.items()}
        return {lesson: wish for lesson, wish in wishes.items() if wish is not None}


class WishOfLesson:
    """One lesson's. Tell it how its rooms fare, about once a second."""

    def __init__(self, lesson: str) -> None:
        self._poor = VoiceWish(lesson, 24_000, 60, True)
        self._well = VoiceWish(lesson, _WELL_BITRATE, 20, False)
        self.wish: VoiceWish | None = None
        """What is asked for now; None: not known yet. Said of rooms that do well, too: the page may
        still follow what a service process before this one asked for."""
        self._began: float | None = None
        self._differs_since: float | None = None

    def update(
        self, rooms: Collection[RoomState], now: float, below: Collection[Vote] = ()
    ) -> None:
        """rooms: of this lesson, and below those of relays. now: monotonic seconds."""
        poor = sum(_is_poor(room) for room in rooms)
        # A relay below speaks for its rooms: one poor school is no reason to thin everyone's voice.
        poor += sum(number for wish, number in below if _is_thrifty(wish))
        every = len(rooms) + sum(number for _, number in below)
        share = poor / every if every else 0.0
        is_poor = self.wish is self._poor
        many = poor >= MANY and share >= _SHARE_POOR
        differs = share < _SHARE_WELL if is_poor else many
        if self._began is None:
            self._began = now
        if not differs:
            self._differs_since = None
            if self.wish is None and now - self._began >= _POOR_SECONDS:
                self.wish = self._well
            return
        if self._differs_since is None:
            self._differs_since = now
        if now - self._differs_since >= (_WELL_SECONDS if is_poor else _POOR_SECONDS):
            self.wish = self._well if is_poor else self._poor
            self._differs_since = None


def _is_thrifty(wish: VoiceWish | None) -> bool:
    return wish is not None and wish.maxaveragebitrate < _WELL_BITRATE


def _is_poor(room: RoomState) -> bool:
    # A link that is not known yet is thought to be slow; one that has all that the teacher sends is
    # not asked whether it takes more.
    told = room.reason not in ("starting", "source")
    if room.rung is RungName.CATCH_UP:
        return False  # it hears the recording
    return told and (room.rung in _LOW or room.bitrate < POOR_BITRATE)
