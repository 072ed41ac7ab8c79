"""How much may be sent again to one viewer: bytes, requests, and what still comes in time.

A full link must not be filled with repairs of its own losses, and no request, however often made,
may cost more than its share. The voice comes first: a part of the bytes is kept for it. What is
refused is counted by cause. Not here: finding and sending packets (repairs). Pure; seconds, bytes.
"""

from __future__ import annotations

from typing import Final

# Of what the link takes: twice the loss of the worst links that we are made for, and never less
# than a few packets.
REPAIR_SHARE: Final = 0.3
REPAIR_LEAST: Final = 6_000.0
# Bytes that pictures leave for the voice: some packets of it with their redundancy.
VOICE_RESERVE: Final = 1_500.0
# Packet numbers that may be asked for, at once and in a second: more than libwebrtc's longest list,
# which an outage may bring.
ASKED_AT_ONCE: Final = 1_024.0
# What a request for a picture counts for: browsers make a few in a second for each stream, and
# whoever makes fifty is not listened to.
_PLEA: Final = 20
# A resend is of use when it comes a little after its time: receivers stretch what they have.
LATENESS: Final = 0.080
# The age up to which a voice is sent again while nobody knows how late it is played.
_UNKNOWN_DELAY: Final = 1.0


class RepairBudget:
    """One viewer's. `take` and `may_ask` count what they refuse.

    round_trip: seconds from sending to the newest feedback about it, 0 without such feedback.
    delay: seconds after which the viewer plays what it receives, None while unknown.
    limit: bit/s for repairs, None for a share of what the link takes.
    resent, resent_bytes: what was sent again. late: came no longer in time. refused: beyond the
    bytes. hasty: asked for again within a round trip. flooded: numbers beyond those that are
    looked at, and what requests for pictures count for.
    """

    __slots__ = (
        "_asked",
        "_at",
        "_bytes",
        "delay",
        "flooded",
        "hasty",
        "late",
        "limit",
        "refused",
        "resent",
        "resent_bytes",
        "round_trip",
    )

    def __init__(self, now: float) -> None:
        self.round_trip = 0.0
        self.delay: float | None = None
        self.limit: float | None = None
        self.resent = self.resent_bytes = self.late = self.refused = self.hasty = self.flooded = 0
        self._bytes = REPAIR_LEAST
        self._asked = ASKED_AT_ONCE
        self._at = now

    def refill(self, bitrate: float, now: float) -> None:
        """What came together since the last call; `bitrate`: what the link takes, bit/s."""
        elapsed, self._at = max(0.0, now - self._at), now
        rate = (bitrate * REPAIR_SHARE if self.limit is None else self.limit) / 8
        self._bytes = min(self._bytes + elapsed * rate, max(rate, REPAIR_LEAST))
        self._asked = min(self._asked + elapsed * ASKED_AT_ONCE, ASKED_AT_ONCE)

    def may_ask(self, numbers: int) -> int:
        """How many of so many numbers are looked at now."""
        allowed = min(numbers, int(self._asked))
        self._asked -= allowed
        self.flooded += numbers - allowed
        return allowed

    def may_plead(self, bitrate: float, now: float) -> bool:
        """Whether one more request for a whole picture is looked at; refills, too."""
        self.refill(bitrate, now)
        if self._asked < _PLEA:
            self.flooded += _PLEA
            return False
        self._asked -= _PLEA
        return True

    def in_time(self, age: float, *, strictly: bool) -> bool:
        """Whether something that was sent `age` seconds ago is still of use when sent again.

        strictly: it is of none after its time, as voice is; else whatever is asked for, since
        later pictures lean on it.
        """
        if not strictly:
            return True
        delay = _UNKNOWN_DELAY if self.delay is None else self.delay
        if age <= delay + LATENESS:
            return True
        self.late += 1
        return False

    def take(self, size: int, *, voice: bool = False) -> bool:
        """Whether one more packet of `size` bytes may be sent again."""
        if self._bytes - (0.0 if voice else VOICE_RESERVE) < size:
            self.refused += 1
            return False
        self._bytes -= size
        self.resent += 1
        self.resent_bytes += size
        return True
