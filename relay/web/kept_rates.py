"""What rooms' links took, kept on disk, so that a power cut does not make every room begin anew.

Here: reading, checking and writing the file, and when. The media process measures and remembers
(relay.transport.remembered); it touches no files.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from pathlib import Path
from typing import Final

from classroom.errors import Absent, Refused
from relay import ipc
from relay.cache.files import write_atomic
from relay.transport.remembered import ROOMS_MOST

_log: Final = logging.getLogger("relay.service")

# A room's link is the same for weeks; what a power cut takes is what was found out since.
KEEP_EVERY: Final = 60.0
# As many rooms as are remembered, with names of 200 characters of four bytes.
_FILE_MOST: Final = 8 << 20

Rates = dict[str, tuple[float, float]]


class KeptRates:
    """file: need not exist yet. A file that cannot be read is as good as none."""

    def __init__(self, file: Path, media: ipc.RpcClient) -> None:
        self._file = file
        self._media = media
        self._kept: Rates = {}
        self._recall = asyncio.Event()
        self._recalled = False

    def media_connected(self) -> None:
        """A media process is there, perhaps a new one that remembers nothing."""
        self._recalled = False
        self._recall.set()

    async def run(self) -> None:
        """Give the media process what is kept, and keep what it knows; until cancelled."""
        self._kept = await asyncio.to_thread(self._read)
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(KEEP_EVERY):
                    await self._recall.wait()
            self._recall.clear()
            # One that came while we turned to it knows nothing yet: it is told, never believed.
            if self._recalled:
                await self._keep()
            elif self._media.is_connected:
                await self._tell()

    async def _tell(self) -> None:
        try:
            await self._media.call("recall", rates=self._kept)
        except (Absent, Refused) as error:
            # When it is back, or has time for it, it is told again.
            _log.info("rates-not-recalled", extra={"reason": str(error)})
            return
        # Unless that was the one before.
        self._recalled = not self._recall.is_set()

    async def _keep(self) -> None:
        try:
            rates = checked(await self._media.call("rates"))
            if rates == self._kept:
                return
            data = json.dumps(rates, ensure_ascii=False).encode()
            await asyncio.to_thread(write_atomic, self._file, data)
        except (Absent, Refused):
            return
        except (OSError, ValueError) as error:
            _log.warning("rates-not-kept", extra={"reason": str(error)})
            return
        self._kept = rates

    def _read(self) -> Rates:
        try:
            with self._file.open("rb") as file:
                data = file.read(_FILE_MOST + 1)
            if len(data) > _FILE_MOST:
                raise ValueError(f"more than {_FILE_MOST} bytes")
            return checked(json.loads(data))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, RecursionError) as error:
            _log.warning("rates-unreadable", extra={"reason": str(error), "file": str(self._file)})
            return {}


def checked(rates: object) -> Rates:
    """`rates` as they should be. Raises ValueError for what no relay writes."""
    if not isinstance(rates, dict) or len(rates) > ROOMS_MOST:
        raise ValueError("not a table of rates")
    found: Rates = {}
    for subject, entry in rates.items():
        match entry:
            case [float() | int() as bitrate, float() | int() as at] if (
                isinstance(subject, str) and 0 < bitrate < 1e12 and 0 <= at < 1e12
            ):
                subject.encode()  # raises UnicodeEncodeError, a ValueError, for half a character
                found[subject] = float(bitrate), float(at)
            case _:
                raise ValueError(f"not a rate: {subject!r}")
    return found
