"""How often somebody may guess: failures by source within a time, and no more.

Lives here: counting and refusing. Must not live here: what a guess is, and who a source is (an
address, or the subject of a token). `now` is in seconds on a clock that never jumps. Pure.
"""

from __future__ import annotations

from collections import deque
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

from classroom.errors import Refused

# Somebody with many addresses must not fill our memory; the longest silent ones are forgotten.
_SOURCES: Final = 2_000


class Tries:
    """Call `begin` before each try and `forgive` when it was right."""

    def __init__(self, most: int, within_s: float) -> None:
        """most: failures of one source within `within_s` seconds."""
        self._most = most
        self._within_s = within_s
        self._failures: dict[str, deque[float]] = {}

    def begin(self, source: str, now: float) -> None:
        """Count a try of `source`; Refused 429 `too-many-tries` if there were too many lately."""
        failures = self._failures.pop(source, None)
        if failures is None:
            failures = deque(maxlen=self._most)
            if len(self._failures) >= _SOURCES:
                del self._failures[next(iter(self._failures))]
        self._failures[source] = failures
        while failures and failures[0] <= now - self._within_s:
            failures.popleft()
        if len(failures) >= self._most:
            minutes = max(1, round((failures[0] + self._within_s - now) / 60.0 + 0.5))
            raise Refused(
                429,
                "too-many-tries",
                "Too many wrong codes came from here.",
                fix=f"Wait {minutes} minutes, then try again with the code as it was given.",
                field="code",
            )

        failures.append(now)

    def forgive(self, source: str) -> None:
        """The last try of `source` was right: it does not count."""
        failures = self._failures.get(source)
        if failures:
            failures.pop()


def source_of(address: str | None) -> str:
    """Who is behind an IP address: a home or school has a whole IPv6 /64 to write from."""
    try:
        found = ip_address(address or "")
    except ValueError:
        return address or ""
    if isinstance(found, IPv6Address) and found.ipv4_mapped is None:
        return str(ip_network((int(found) >> 64 << 64, 64)))
    return str(found)
