"""The timeline of a track that comes from a relay above: it is told, and measures nothing.

Two relays that time the same packets by the same anchors record the same bytes. So the anchors of
the relay that the publisher sends to are handed down the tree as they are, each with the timestamp
from which it is in force. Their times are that relay's: what this one's clock says does not matter,
be it years off. Here too: the form of anchors on the way down. Must not live here: the messages
that carry them, what is recorded. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from classroom.errors import Refused
from relay.media.timeline import ANCHORS_KEPT, Anchor, PublisherClock, TrackTimeline

# Clocks of relays drift apart by less.
DRIFT: Final = 0.0002
# A clock that moved by less is not followed: s.
_NOTICED: Final = 0.001
MAX_NAME: Final = 64
MAX_TIME: Final = 1e11  # s of Unix time: some thousand years


@dataclass(frozen=True, slots=True)
class TakeName:
    """Which publisher it was, the same at every relay: `epoch` of the run `feed` of the media
    process that the publisher sent to."""

    feed: str
    epoch: int


class UpstreamClock:
    """What the clock at the top of the tree shows, as what comes from there tells: less the
    shortest way here. One for all the tracks of one trunk; it never runs backwards."""

    __slots__ = ("_at", "ahead")

    def __init__(self) -> None:
        self.ahead = 0.0
        """That clock minus ours, seconds."""
        self._at: float | None = None

    def receive(self, captured: float, now: float) -> float:
        """A packet captured at `captured` of that clock came at `now` of ours; gives `ahead`."""
        measured = captured - now
        if self._at is None or measured > self.ahead:
            self.ahead = measured
        else:
            self.ahead = max(measured, self.ahead - DRIFT * max(0.0, now - self._at))
        self._at = now
        return self.ahead


class ToldTimeline(TrackTimeline):
    """take: whose media it is. `tell` it what becomes of the anchors upstream.

    `anchor` and `anchors` are in the time of the top of the tree, `latest` and `wall` in ours.
    """

    __slots__ = ("_clock", "take")

    def __init__(
        self, clock_rate: int, take: TakeName, clock: UpstreamClock, anchors: Sequence[Anchor]
    ) -> None:
        """anchors: those known, oldest first; at least one."""
        super().__init__(clock_rate)
        self.take = take
        self._clock = clock
        self.tell(anchors)
        assert self.anchor is not None, "a told track has an anchor"

    def tell(self, anchors: Iterable[Anchor]) -> list[Anchor]:
        """The newest anchors upstream, oldest first; returns those that were not known."""
        said = list(anchors)
        if self.anchor in said:
            said = said[said.index(self.anchor) + 1 :]
        fresh = [anchor for anchor in said if anchor not in self._recent]
        for anchor in fresh:
            self.anchor = anchor
            self._recent.append(anchor)
        self._follow()
        return fresh

    def receive_packet(self, rtp_timestamp: int, now: float) -> Anchor | None:
        """Learns what time it is upstream; never a new anchor."""
        assert self.anchor is not None, "a told track has an anchor"
        captured = self._wall(self.anchor, rtp_timestamp)
        if abs(self._clock.receive(captured, now) - self.ahead) > _NOTICED:
            self._follow()
        return None

    def receive_report(
        self, rtp_timestamp: int, ntp: float, clock: PublisherClock, now: float
    ) -> Anchor | None:
        """The relay above reports for itself: nothing follows from it."""
        return None

    def _follow(self) -> None:
        self.ahead = self._clock.ahead
        if self.anchor is not None:
            self.latest = Anchor(self.anchor.rtp_timestamp, self.anchor.wall - self.ahead)


def encode_anchors(anchors: Iterable[Anchor]) -> list[list[int | float | None]]:
    """As they travel in JSON and msgpack, both of which keep a float exactly."""
    return [[anchor.rtp_timestamp, anchor.wall, anchor.since] for anchor in anchors]


def decode_anchors(value: object, where: str = "anchors") -> tuple[Anchor, ...]:
    """Raises Refused 400 `trunk-malformed`. where: names the value in it."""
    if not isinstance(value, list | tuple) or not 0 < len(value) <= ANCHORS_KEPT:
        raise malformed(where, f"{where} is not a list of 1 to {ANCHORS_KEPT} anchors")
    return tuple(_decode_anchor(item, where) for item in value)


def _decode_anchor(value: object, where: str) -> Anchor:
    if not isinstance(value, list | tuple) or len(value) != 3:
        raise malformed(where, "an anchor is not a list of three")
    timestamp, wall, since = value
    if isinstance(wall, bool) or not isinstance(wall, int | float):
        raise malformed(where, "an anchor's time is not a number")
    if not math.isfinite(wall) or abs(wall) > MAX_TIME:
        raise malformed(where, "an anchor's time is out of range")
    return Anchor(
        _timestamp(timestamp, where),
        float(wall),
        None if since is None else _timestamp(since, where),
    )


def encode_take(take: TakeName) -> list[str | int]:
    """As it travels."""
    return [take.feed, take.epoch]


def decode_take(value: object, where: str = "take") -> TakeName:
    """Raises Refused 400 `trunk-malformed`."""
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise malformed(where, f"{where} is not a list of two")
    feed, epoch = value
    if not isinstance(feed, str) or not 0 < len(feed) <= MAX_NAME:
        raise malformed(where, f"{where} has no name of a feed")
    if isinstance(epoch, bool) or not isinstance(epoch, int) or not 0 <= epoch < 2**53:
        raise malformed(where, f"{where} has no number of a publisher")
    return TakeName(feed, epoch)


def _timestamp(value: object, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**32:
        raise malformed(where, "an RTP timestamp is not a number of 32 bits")
    return value


def malformed(where: str, what: str) -> Refused:
    """A parent told something that no relay tells."""
    return Refused(
        400,
        "trunk-malformed",
        f"What the parent relay tells of a lesson is malformed: {what}.",
        fix="Run relays of one release; this one goes on without what it was told.",
        field=where,
    )
