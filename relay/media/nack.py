"""Receive-side gap tracking: which packets of one stream to ask for again, and when.

Here: noticing gaps (RFC 4585 6.2.1 says how to report them), pacing repeats by the measured round
trip, giving up, and telling repeated packets. Not here: writing RTCP, measuring the round trip,
answering anyone's NACKs. Everything scales with `rtt` for links of 5 to 800 ms.
"""

from __future__ import annotations

from typing import Final

from relay.media.seqno import Unwrapper

# A repeat sooner than this would cross the first answer even on a LAN.
MIN_REPEAT_S: Final = 0.010
# As in libwebrtc; at 10 % loss both ways, ten rounds leave less than one packet in 10^7.
MAX_TRIES: Final = 10
# Holes watched at once: about 5 s of video at 100 packets/s, all lost.
MAX_MISSING: Final = 512
# A packet is worth asking for until it is this old: a second, plus some round trips.
AGE_S: Final = 1.0
AGE_ROUND_TRIPS: Final = 3.0

# Numbers in which a repeated packet is recognised. A power of two.
_SEEN: Final = 2048


class _Hole:
    __slots__ = ("asked", "noticed", "tries")

    def __init__(self, noticed: float) -> None:
        self.noticed = noticed
        self.asked = 0.0
        self.tries = 0


class NackTracker:
    """The gaps of one incoming stream (one SSRC). Timers in the `now` of the caller, seconds."""

    __slots__ = (
        "_due",
        "_missing",
        "_seen",
        "_seqs",
        "abandoned",
        "max_missing",
        "max_tries",
        "newest_abandoned",
        "recovered",
        "reorder_wait",
        "requested",
    )

    def __init__(
        self,
        max_missing: int = MAX_MISSING,
        max_tries: int = MAX_TRIES,
        reorder_wait: float = 0.0,
    ) -> None:
        """`reorder_wait`: seconds between noticing a gap and first asking, for paths known to
        change the order of packets."""
        self.max_missing = max_missing
        self.max_tries = max_tries
        self.reorder_wait = reorder_wait
        self.requested = 0
        """Requests made, repeats included."""
        self.recovered = 0
        """Packets that came after they were asked for."""
        self.abandoned = 0
        """Packets given up: too old, too often asked for, too many, or behind a keyframe."""
        self.newest_abandoned = -1
        """Extended number of the newest one of those; -1 before the first."""
        self._seqs = Unwrapper(16)
        self._missing: dict[int, _Hole] = {}
        self._seen = [-1] * _SEEN
        self._due: float | None = None

    @property
    def missing(self) -> int:
        """Holes watched now."""
        return len(self._missing)

    def receive(self, seq: int, now: float) -> bool:
        """Note the arrival of 16-bit `seq`, sent first or again. False for a packet that already
        came (or is too old to tell)."""
        before = self._seqs.highest
        extended = self._seqs.unwrap(seq)
        seen = self._seen
        slot = extended & _SEEN - 1
        if extended > before:
            seen[slot] = extended
            if extended != before + 1 and before >= 0:
                self._open(before + 1, extended, now)
            return True
        if before - extended >= _SEEN or seen[slot] == extended:
            return False
        seen[slot] = extended
        hole = self._missing.pop(extended, None)
        if hole is not None and hole.tries:
            self.recovered += 1
        if not self._missing:
            self._due = None
        return True

    def _open(self, first: int, after: int, now: float) -> None:
        missing = self._missing
        if after - first > self.max_missing:
            # An outage: the older part would be too late by the time it came.
            self._abandon(after - first - self.max_missing, after - self.max_missing - 1)
            first = after - self.max_missing
        for extended in range(first, after):
            missing[extended] = _Hole(now)
        excess = len(missing) - self.max_missing
        if excess > 0:
            for extended in list(missing)[:excess]:
                del missing[extended]
                self._abandon(1, extended)
        due = now + self.reorder_wait
        if self._due is None or due < self._due:
            self._due = due

    def handle_timer(self, now: float, rtt: float) -> list[int]:
        """The 16-bit numbers to ask for now, oldest first; each at most once per `rtt` seconds."""
        missing = self._missing
        if not missing:
            return []
        repeat = rtt if rtt > MIN_REPEAT_S else MIN_REPEAT_S
        oldest = now - AGE_S - AGE_ROUND_TRIPS * rtt
        max_tries = self.max_tries
        asked: list[int] = []
        given_up: list[int] = []
        due: float | None = None
        for extended, hole in missing.items():
            if hole.noticed < oldest:
                given_up.append(extended)
                continue
            following = hole.asked + repeat if hole.tries else hole.noticed + self.reorder_wait
            if following <= now:
                if hole.tries >= max_tries:
                    given_up.append(extended)
                    continue
                hole.tries += 1
                hole.asked = now
                asked.append(extended & 0xFFFF)
                following = now + repeat
            if due is None or following < due:
                due = following
        for extended in given_up:
            del missing[extended]
            self._abandon(1, extended)
        self.requested += len(asked)
        self._due = due
        return asked

    def get_timer(self) -> float | None:
        """When to call `handle_timer` next; None while nothing is missing."""
        return self._due

    def reset_before(self, seq: int) -> None:
        """Stop asking for what is older than 16-bit `seq`: a keyframe begins there."""
        limit = self._seqs.peek(seq)
        old = [extended for extended in self._missing if extended < limit]
        for extended in old:
            del self._missing[extended]
            self._abandon(1, extended)
        if not self._missing:
            self._due = None

    def _abandon(self, count: int, newest: int) -> None:
        self.abandoned += count
        if newest > self.newest_abandoned:
            self.newest_abandoned = newest
