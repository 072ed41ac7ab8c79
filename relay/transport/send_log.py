"""Which packet went to which viewer when: transport-wide numbers, for all viewers in one table.

The fan-out writes the rows of a batch of viewers at once, each viewer's bandwidth estimate reads
its own. draft-holmer-rmcat-transport-wide-cc-extensions-01 §2.

Here, too: which transport-wide number a packet had that may leave again under its own sequence
number. It must leave with the same header: SRTP makes its nonce of SSRC and sequence number, and
AES-GCM tells its authentication key to whoever sees one nonce with two headers (RFC 7714 §8.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

# Sent packets remembered for feedback: about 9 s at 110 packets/s, above any RTT in range.
SENT_RING: Final = 1024
_MASK: Final = SENT_RING - 1
# Packets remembered that may leave again as they are: 20 s of a voice, 10 s of one without RTX.
_OWN_RING: Final = 1024
_OWN_MASK: Final = _OWN_RING - 1
_SEQUENCES: Final = 0xFFFF
FORGOTTEN: Final = -1

Integers = np.ndarray[tuple[int, ...], np.dtype[np.int64]]


class SendLogs:
    """A row for each viewer. Used from one thread only."""

    def __init__(self, rows: int) -> None:
        """rows: viewers at once. The kernel gives memory only for the rows that were used."""
        self._numbers = np.zeros(rows, np.int64)
        self._sent_at = np.zeros((rows, SENT_RING), np.float64)
        self._sent_size = np.zeros((rows, SENT_RING), np.uint16)
        self._own = np.zeros((rows, _OWN_RING), np.int64)
        self._own_number = np.zeros((rows, _OWN_RING), np.uint16)
        self._free = list(range(rows - 1, -1, -1))

    @property
    def free(self) -> int:
        """Rows that nobody has."""
        return len(self._free)

    def take(self) -> int:
        """A row of one's own, as if nothing had been sent; IndexError when all are taken."""
        row = self._free.pop()
        self._numbers[row] = 0
        self._sent_at[row] = 0.0
        self._sent_size[row] = 0
        self._own[row] = 0
        return row

    def give_back(self, row: int) -> None:
        """The viewer is gone."""
        self._free.append(row)

    def count(self, row: int) -> int:
        """Packets sent so far; the number of the next one."""
        return int(self._numbers[row])

    def times(self, row: int) -> Sequence[float]:
        """A ring by transport-wide number modulo `SENT_RING`: seconds of sending."""
        return memoryview(self._sent_at[row])

    def sizes(self, row: int) -> Sequence[int]:
        """A ring by transport-wide number modulo `SENT_RING`: bytes sent."""
        return memoryview(self._sent_size[row])

    def sent(self, rows: Integers, sizes: Integers, now: float) -> Integers:
        """Note packets of these `sizes` (bytes), one after the other, to each of `rows`.

        Returns their numbers, unwrapped: (packet, row).
        """
        count = len(sizes)
        first = self._numbers[rows]
        numbers = first + np.arange(count)[:, None]
        places = numbers & _MASK
        self._sent_at[rows, places] = now
        self._sent_size[rows, places] = sizes[:, None]
        self._numbers[rows] = first + count
        return numbers

    def sent_one(self, row: int, size: int, now: float) -> int:
        """Note one packet; returns its number, unwrapped."""
        number = int(self._numbers[row])
        self._sent_at[row, number & _MASK] = now
        self._sent_size[row, number & _MASK] = size
        self._numbers[row] = number + 1
        return number

    def keep(self, rows: Integers, packets: Integers, numbers: Integers) -> None:
        """Remember the numbers of packets, each SSRC << 16 | sequence number: (packet, row)."""
        places = packets & _OWN_MASK
        self._own[rows, places] = packets
        self._own_number[rows, places] = numbers & _SEQUENCES

    def keep_one(self, row: int, packet: int, number: int) -> None:
        """Remember the number of one packet."""
        place = packet & _OWN_MASK
        self._own[row, place] = packet
        self._own_number[row, place] = number & _SEQUENCES

    def number_of(self, row: int, packet: int) -> int | None:
        """The 16-bit number that the packet left with, None if it never left, or `FORGOTTEN`."""
        place = packet & _OWN_MASK
        there = int(self._own[row, place])
        if there == packet:
            return int(self._own_number[row, place])
        # One that went before it has its place still: then it has not taken it yet.
        older = there >> 16 == packet >> 16 and (packet - there & _SEQUENCES) < 0x8000
        return None if older or not there else FORGOTTEN
