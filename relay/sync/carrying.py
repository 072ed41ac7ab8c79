"""Bytes from a source into the cache: one load, or one part that a pupil waits for.

Here: cutting a body into its parts, writing and completing them, keeping what came when a load is
cut short. Not here: which load (`client`), what a source may send (`sources`).
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from itertools import pairwise
from typing import Final, TypeVar

from classroom.errors import Absent, ClassroomError, Misuse, Refused
from relay.cache.cache import Cache
from relay.cache.parts import Part
from relay.sync.loads import Load, Piece
from relay.sync.sources import Source, rubbish

_WRITE: Final = 64 * 1024
# A part that is waited for is asked for in pieces of at least this size, side by side.
_LEAST_STRETCH: Final = 24 * 1024

Spend = Callable[[int], Awaitable[None]]
"""So many bytes came; returns when more may be read."""
Came = Callable[[Part, int | None], None]
"""So many bytes of a part are on disk; None: it is whole, and verified."""
_Result = TypeVar("_Result")


class DiskAway(Absent):
    """The disk took no more: no source's fault."""


class WrongDigest(Refused):
    """A part came whole, and is not what the manifest says. resumed: its beginning was here before,
    so the source that sent the rest may be right."""

    def __init__(self, part: Part, resumed: bool) -> None:
        super().__init__(
            502,
            "part-digest-wrong",
            f"{part.rendition}/{part.name} is not what its digest says.",
            fix="Another source is asked.",
        )
        self.part = part
        self.resumed = resumed


async def carry(
    cache: Cache,
    load: Load,
    body: AsyncIterator[bytes],
    spend: Spend,
    came: Came,
) -> None:
    """Write `body`, the bytes of `load`, into the cache.

    Raises `WrongDigest`, DiskAway, and whatever `body` raises; what came until then is kept.
    Returns when the body ends, be it early.
    """
    writer = _Writer(cache, load.pieces, came)
    try:
        await writer.advance()
        async for chunk in body:
            # Kept before it waits for the rate cap: it may be cut there, and these bytes are paid.
            try:
                await writer.take(chunk)
            except ClassroomError:
                await spend(len(chunk))
                raise
            await spend(len(chunk))
    finally:
        writer.keep()


class _Writer:
    """The parts of a load, one after the other."""

    def __init__(self, cache: Cache, pieces: Sequence[Piece], came: Came) -> None:
        self._cache = cache
        self._pieces = pieces
        self._came = came
        self._at = 0
        self._size = pieces[0].skip  # of the present part, on disk
        self._rest = bytearray()

    async def take(self, chunk: bytes) -> None:
        view = memoryview(chunk)
        while view:
            if self._at == len(self._pieces):
                raise rubbish("more came than was asked for")
            part = self._pieces[self._at].part
            room = part.bytes - self._size - len(self._rest)
            self._rest += view[:room]
            view = view[room:]
            if len(self._rest) >= _WRITE or self._size + len(self._rest) == part.bytes:
                await self._write()
                await self.advance()

    async def advance(self) -> None:
        """Complete what is all there, and go on to the next part."""
        while self._at < len(self._pieces):
            piece = self._pieces[self._at]
            if self._size < piece.part.bytes:
                return
            try:
                await uncut(self._cache.complete, piece.part)
            except Absent as error:
                raise DiskAway(error.what, fix=error.fix) from error
            except Refused as error:
                self._came(piece.part, 0)
                if error.code == "part-digest-wrong":
                    raise WrongDigest(piece.part, piece.skip > 0) from error
                raise
            self._came(piece.part, None)
            self._at += 1
            self._size = self._pieces[self._at].skip if self._at < len(self._pieces) else 0

    async def _write(self) -> None:
        part, data = self._pieces[self._at].part, bytes(self._rest)
        self._rest.clear()
        try:
            await uncut(self._cache.append, part, self._size, data)
        except Absent as error:
            raise DiskAway(error.what, fix=error.fix) from error
        self._size += len(data)
        self._came(part, self._size)

    def keep(self) -> None:
        """The load is over, perhaps before its time: what was not written yet is, at once, so that
        it need not cross the link again. A write of 64 kB into the system's memory."""
        if self._at >= len(self._pieces):
            return
        part, data = self._pieces[self._at].part, bytes(self._rest)
        self._rest.clear()
        # Whatever is wrong with the disk or the part is met again by the next load, and told then.
        with contextlib.suppress(ClassroomError):
            # A write that was under way when the load was cancelled has gone through or not.
            size = self._cache.part_size(part)
            if data and size == self._size:
                self._cache.append(part, size, data)
                size += len(data)
            self._came(part, size)


async def carry_part(
    cache: Cache, part: Part, source: Source, width: int, spend: Spend, came: Came
) -> None:
    """Fetch one part as fast as the link allows, in up to `width` stretches side by side; what is
    on disk of it counts, and what came without a hole is kept. Raises as `carry` does."""
    try:
        await _carry_part(cache, part, source, width, spend)
    except ClassroomError:
        came(part, await asyncio.to_thread(cache.part_size, part))
        raise
    came(part, None)


async def _carry_part(cache: Cache, part: Part, source: Source, width: int, spend: Spend) -> None:
    have = await asyncio.to_thread(cache.part_size, part)
    left = part.bytes - have
    count = max(1, min(width, math.ceil(left / _LEAST_STRETCH)))
    size = math.ceil(left / count) if left else 0
    begins = [min(part.bytes, have + number * size) for number in range(count + 1)]
    found = [bytearray() for _ in range(count)]

    async def fetch(first: int, end: int, into: bytearray) -> None:
        if end <= first:
            return
        async with source.stretch(part, first, end) as body:
            async for chunk in body:
                into += chunk
                await spend(len(chunk))
        if len(into) != end - first:
            raise Absent("The source broke off.", fix="It is asked again.")

    def keep() -> None:
        data = bytearray()
        for (first, end), one in zip(pairwise(begins), found, strict=True):
            data += one
            if len(one) < end - first:
                break
        # Whatever is wrong with the disk or the part is met again when it is asked for again.
        with contextlib.suppress(ClassroomError):
            cache.append(part, have, bytes(data))

    try:
        async with asyncio.TaskGroup() as tasks:
            for (first, end), into in zip(pairwise(begins), found, strict=True):
                tasks.create_task(fetch(first, end, into))
    except ExceptionGroup as errors:
        await asyncio.to_thread(keep)
        raise first_of(errors) from None
    data = b"".join(found)

    def write() -> None:
        try:
            if data:
                cache.append(part, have, data)
            cache.complete(part)
        except Absent as error:
            raise DiskAway(error.what, fix=error.fix) from error
        except Misuse:
            # A load that was cut short for this part has kept a little more of it meanwhile.
            cache.drop(part)
            raise Absent("The part grew meanwhile.", fix="It is asked for again.") from None
        except Refused as error:
            if error.code == "part-digest-wrong":
                raise WrongDigest(part, have > 0) from error
            raise

    await asyncio.to_thread(write)


async def uncut(work: Callable[..., _Result], *arguments: object) -> _Result:
    """`work` in a thread; when this is cancelled, its end is waited for all the same, so that
    nobody else touches the part meanwhile."""
    task = asyncio.ensure_future(asyncio.to_thread(work, *arguments))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait((task,))
        if not task.cancelled():
            task.exception()  # it is met again by the next load, and told then
        raise


def first_of(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first of errors that tasks raised together."""
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
