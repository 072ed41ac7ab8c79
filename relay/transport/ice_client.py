"""The controlling side of ICE towards a lite agent: a relay's trunk to its parent (RFC 8445).

Lives here: which path is checked when, which one is used, what says that it still works, and what
is tried when it does not. Must not live here: sockets and clocks (`trunk_paths`), DTLS, media.

A lite agent has host candidates only and never checks (RFC 8445 §2.5, §7.3), so a pair is one of
its candidates and whatever way leads there from here. A check that failed is not repeated as it
was but made anew, so that its answer measures the round trip. Every wait scales with that. Consent
(RFC 7675) is a check every few seconds on the path in use; authentic media counts as a sign of life
as well. When neither comes for a few round trips the link is taken for broken, every path is
checked again and again, under credentials of our own making anew (the other side looks at its own
half alone, so both halves are agreed for every restart to come, see `ice`), until one answers: the
other side then sends there, to the same session, under the same keys.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from relay.transport import stun
from relay.transport.ice import Credentials

# RFC 8445 §14.2: checks of different paths are so far apart.
PACE_SECONDS: Final = 0.05
# A check whose answer may still be under way is not made again; RFC 8489 §6.2.1 begins with 0.5 s.
FIRST_RTO: Final = 0.5
# Between checks of a path that does not answer, at most: a link that comes back is found so soon.
LAST_RTO: Final = 2.0
# As browsers do on a working path; the other side takes 3 s without one for quiet.
CONSENT_INTERVAL: Final = 2.5
# RFC 7675 §5.1.
CONSENT_SECONDS: Final = 30.0
# Without any sign of life for so long, and so many round trips, the path is taken for broken.
QUIET_SECONDS: Final = 2.0
QUIET_TRIPS: Final = 3.0
# A better path than the one in use is looked for so often.
BETTER_SECONDS: Final = 15.0
# Answers that are waited for, of one path: beyond, the oldest is forgotten.
_PENDING: Final = 16
LONGEST_TRIP: Final = 5.0


@dataclass(slots=True, eq=False)
class Path:
    """One way to the other side. priority: higher is better. is_stream: TCP, which is used only
    while no datagrams get through."""

    address: bytes
    priority: int
    is_stream: bool = False
    next_check: float = 0.0
    rto: float = FIRST_RTO
    answered_at: float | None = None
    pending: dict[bytes, float] = field(default_factory=dict)
    """Transactions that may be answered → when they were sent."""

    @property
    def rank(self) -> tuple[bool, int]:
        """The larger the better."""
        return (not self.is_stream, self.priority)


class IceClient:
    """One session's. Give it paths, carry out `take_sends`, look at `selected`.

    rtt: seconds, None before the first answer. restarts: how often the path broke.
    """

    def __init__(
        self, remote: Credentials, now: float, random: Callable[[int], bytes] = secrets.token_bytes
    ) -> None:
        """remote: the other side's credentials, which hold for the session's life."""
        self.remote = remote
        self.local = Credentials.generate()
        self.paths: dict[bytes, Path] = {}
        self.selected: bytes | None = None
        self.rtt: float | None = None
        self.restarts = 0
        self.is_broken = False
        """Whether the path in use gives no sign of life."""
        self.last_sign: float | None = None
        """When the other side was last heard: an authentic answer or media."""
        self._random = random
        self._tie_breaker = int.from_bytes(random(8), "big")
        self._last_check = now - PACE_SECONDS
        self._sends: list[tuple[bytes, bytes]] = []

    def add_path(
        self, address: bytes, priority: int, now: float, *, is_stream: bool = False
    ) -> None:
        """A way that may be tried from now on; address: its name for `take_sends`."""
        self.paths[address] = Path(address, priority, is_stream, now)

    def lose_path(self, address: bytes, now: float) -> None:
        """This way is gone: its socket or connection is closed."""
        self.paths.pop(address, None)
        if self.selected == address:
            self.selected = None
            self._break(now)

    def note_media(self, now: float) -> None:
        """Authentic media came at `now`."""
        if self.last_sign is None or now > self.last_sign:
            self.last_sign = now

    def has_consent(self, now: float) -> bool:
        """Whether anything may be sent."""
        return self.last_sign is not None and now - self.last_sign <= CONSENT_SECONDS

    def receive(self, data: bytes, address: bytes, now: float) -> bool:
        """One STUN message that came on a path; whether it was an authentic answer to a check.

        Whatever else comes is dropped without a word: a lite agent asks nothing.
        """
        path = self.paths.get(address)
        response = stun.read_response(data) if path is not None else None
        if path is None or response is None:
            return False
        sent = path.pending.get(response.transaction)
        if sent is None or not response.is_authentic(self.remote.password.encode()):
            return False
        del path.pending[response.transaction]
        trip = min(max(now - sent, 0.0), LONGEST_TRIP)
        self.rtt = trip if self.rtt is None else self.rtt + (trip - self.rtt) * 0.3
        if not response.succeeded:
            return False  # 487 cannot be, and nothing else helps but asking again
        path.answered_at = self.last_sign = now
        path.rto = self._first_rto()
        current = self.paths.get(self.selected) if self.selected is not None else None
        if current is None or self.is_broken or path.rank > current.rank:
            moved = self.selected != address
            self.selected = address
            self.is_broken = False
            # The other side follows at once where it knows of no other path; a nomination makes
            # sure of it (RFC 8445 §8.1.1).
            path.next_check = now if moved else now + CONSENT_INTERVAL
            for other in self.paths.values():
                if other is not path:
                    other.next_check = now + BETTER_SECONDS
        elif address == self.selected:
            path.next_check = now + CONSENT_INTERVAL
        else:
            path.next_check = now + BETTER_SECONDS
        return True

    def handle_timer(self, now: float) -> None:
        """Make the checks that are due; see whether the path still works."""
        if self.selected is not None and not self.is_broken and now >= self._quiet_at():
            self._break(now)
        due = [path for path in self.paths.values() if now >= path.next_check]
        if not due or now - self._last_check < PACE_SECONDS * 0.99:
            return
        self._check(max(due, key=lambda path: (path.address == self.selected, path.rank)), now)

    def get_timer(self) -> float | None:
        """When `handle_timer` wants to run next, seconds; None while there is no path at all."""
        due = min((path.next_check for path in self.paths.values()), default=None)
        if due is None:
            return None
        due = max(due, self._last_check + PACE_SECONDS)
        if self.selected is not None and not self.is_broken:
            due = min(due, self._quiet_at())
        return due

    def take_sends(self) -> list[tuple[bytes, bytes]]:
        """(datagram, path's address) to send now."""
        sends, self._sends = self._sends, []
        return sends

    def _quiet_at(self) -> float:
        assert self.last_sign is not None, "a path is selected by an answer"
        # The other side may have nothing to send but answers to our checks.
        patience = CONSENT_INTERVAL + max(QUIET_SECONDS, QUIET_TRIPS * (self.rtt or FIRST_RTO))
        return self.last_sign + patience

    def _first_rto(self) -> float:
        return max(PACE_SECONDS, min(1.5 * self.rtt, LAST_RTO)) if self.rtt else FIRST_RTO

    def _break(self, now: float) -> None:
        """Look for any way that works, as one who begins (RFC 8445 §2.4)."""
        self.is_broken = True
        self.restarts += 1
        self.local = Credentials.generate()
        for path in self.paths.values():
            path.next_check, path.rto = now, self._first_rto()

    def _check(self, path: Path, now: float) -> None:
        transaction = self._random(12)
        path.pending[transaction] = now
        while len(path.pending) > _PENDING:
            del path.pending[next(iter(path.pending))]
        nominate = path.address == self.selected and not self.is_broken
        username = f"{self.remote.ufrag}:{self.local.ufrag}"
        data = stun.write_check(
            transaction,
            username,
            self.remote.password.encode(),
            # RFC 8445 §5.1.2: a peer-reflexive candidate of ours; nobody ranks by it.
            (110 << 24) | (65_535 << 8) | 255,
            self._tie_breaker,
            nominate=nominate,
        )
        self._sends.append((data, path.address))
        self._last_check = now
        works = path.address == self.selected and not self.is_broken
        path.next_check = now + path.rto
        # One that worked is asked again soon: a single lost check says nothing.
        if not works or len(path.pending) > 2:
            path.rto = min(path.rto * 1.5, LAST_RTO)
        if self.selected is not None and not self.is_broken and not works:
            path.next_check = now + BETTER_SECONDS
