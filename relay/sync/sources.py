"""Where recordings are fetched from over HTTP: a parent, or a sibling on the LAN.

Here: the requests, and the bounds on what comes back. Whatever a source sends is at most as long as
it should be, comes in time or not at all, and is read strictly. Not here: which source is asked for
what (`plan`), verification of parts (`relay.cache`), drives (`drive`). SYNC.md tells the addresses.

Every method raises Absent when the source is away or stalls, `Lacking` when it has not what it was
asked for, and Refused for what is rubbish. What teachers give along with lessons has the same
addresses at relays and at the control plane, so that is a source of it too, the root relay's.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Final

import aiohttp
from aiohttp.http_exceptions import ContentEncodingError

from classroom.archive import canonical
from classroom.archive.materials import MAX_LIST_BYTES
from classroom.archive.names import MANIFEST
from classroom.clock import monotonic
from classroom.errors import Absent, Refused
from relay.cache.parts import Part
from relay.sync.loads import Load, stretches, write_stretches
from relay.sync.offer import Offer, read_lesson, read_offer

# Nothing for this long is a stall: above ten round trips of the slowest link and a lost packet's
# repeats (s). An outage of minutes ends a request too; its bytes are kept.
STALL_SECONDS: Final = 20.0
# A body that trickles is a stall as well: less than so many bytes in so many seconds.
_TRICKLE_BYTES: Final = 1_000
_TRICKLE_SECONDS: Final = 60.0
_CONNECT_SECONDS: Final = 15.0
# A page of 500 lessons is half a megabyte, a long day's manifest a few; see relay.cache.
_LIST_BYTES: Final = 4 << 20
TOP_BYTES: Final = 32 << 20
_CHUNK: Final = 64 * 1024
_ABORT: Final = struct.pack("ii", 1, 0)  # SO_LINGER: reset the connection, send nothing more


class Lacking(Refused):
    """The source has not what it was asked for; another one may."""

    def __init__(self, what: str) -> None:
        super().__init__(404, "source-lacks", what, fix="Ask another source.")


class NotYet(Refused):
    """The source brings it itself just now."""

    def __init__(self, what: str) -> None:
        super().__init__(503, "source-not-yet", f"{what} is on its way there.", fix="Ask again.")


@dataclass(frozen=True, slots=True)
class Changes:
    """A page of a source's list. gone: lessons that it has no more. size: bytes that crossed the
    link for it. The rest as in `relay.sync.offers.Page`."""

    offers: list[Offer]
    gone: list[str]
    cursor: str
    more: bool
    reset: bool
    size: int


class Source:
    """One relay that recordings are fetched from."""

    def __init__(
        self, url: str, http: aiohttp.ClientSession, token: Callable[[], str], *, near: bool
    ) -> None:
        """url: its base address. token: ours, read at each request. near: on the LAN, so that
        nothing that is fetched from it crosses the weak link."""
        self.name = url.rstrip("/")
        self.near = near
        self._http = http
        self._token = token
        self._answers: set[aiohttp.ClientResponse] = set()

    def stop(self) -> None:
        """Cut every request that brings something, at once."""
        for answer in self._answers:
            _let_go(answer)

    async def changes(self, cursor: str) -> Changes:
        """What came and went since `cursor`, "" for everything."""
        body, size = await self._whole("/api/offers", {"after": cursor}, _LIST_BYTES)
        return await asyncio.to_thread(_read_changes, body, size)

    async def top(self, lesson: str, name: str, digest: str) -> bytes:
        """manifest.json, journal.jsonl or events.jsonl of a lesson, of this SHA-256."""
        body, _ = await self._whole(f"/api/offers/{lesson}/{name}", {"digest": digest}, TOP_BYTES)
        if await asyncio.to_thread(canonical.digest, body) != digest:
            raise rubbish(f"{name} of {lesson} is not what its digest says")
        return body

    async def live_manifest(self, lesson: str) -> bytes:
        """The manifest of a lesson that still runs, as far as it is recorded there."""
        body, _ = await self._whole(f"/api/offers/{lesson}/{MANIFEST}", {}, TOP_BYTES)
        return body

    @contextlib.asynccontextmanager
    async def bring(
        self, load: Load, begins: Mapping[str, int], manifest: str
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """The bytes of `load`, in pieces; fewer when the source has not all of it. begins: see
        `loads.starts`. manifest: digest of the manifest that the load is of."""
        if not load.size:
            # A power cut came before what is all here was given its place: nothing to ask for.
            yield _nothing()
            return
        path = f"/api/offers/{load.lesson}/{load.rendition}/bytes"
        query = {"of": write_stretches(stretches(load, begins)), "manifest": manifest}
        async with self._get(path, query, {"Accept-Encoding": "identity"}) as answer:
            yield _body(answer, load.size)

    @contextlib.asynccontextmanager
    async def stretch(
        self, part: Part, first: int, end: int
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Bytes `first` to `end` (exclusive) of one part (RFC 9110 14.2)."""
        path = f"/archives/{part.lesson}/{part.rendition}/{part.name}"
        headers = {"Accept-Encoding": "identity", "Range": f"bytes={first}-{end - 1}"}
        async with self._get(path, {}, headers) as answer:
            # A relay's entity tag is the digest; another one is of what it recorded itself.
            if answer.headers.get("ETag") != f'"{part.digest}"':
                raise Lacking(f"{part.name} is another one there")
            if answer.status != 206:
                raise rubbish("a range was asked for, and not given")
            yield _body(answer, end - first)

    async def materials(self, lesson: str, digest: str, *, waits: int) -> bytes:
        """The list of a lesson's materials with this SHA-256. waits: for so long somebody waits for
        it here (s), so that it does not only take its turn there. Raises `NotYet` while it is on
        its way there."""
        path = f"/api/lessons/{lesson}/materials"
        body = bytearray()
        async with self._get(path, _waits(waits), {}) as answer:
            told = answer.headers.get("ETag")
            async for chunk in _chunks(answer):
                body += chunk
                if len(body) > MAX_LIST_BYTES:
                    raise rubbish(f"{path} has no end")
        if canonical.digest(bytes(body)) != digest:
            if told == f'"{digest}"':
                raise rubbish(f"{path} is not what its digest says")
            raise Lacking(f"{path} is another one there")
        return bytes(body)

    @contextlib.asynccontextmanager
    async def material(
        self, lesson: str, digest: str, first: int, end: int, *, waits: int
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Bytes `first` to `end` (exclusive) of a file that a teacher gave along with a lesson.
        Raises as `materials` does."""
        path = f"/api/lessons/{lesson}/materials/{digest}"
        headers = {"Accept-Encoding": "identity", "Range": f"bytes={first}-{end - 1}"}
        async with self._get(path, _waits(waits), headers) as answer:
            if answer.headers.get("ETag") != f'"{digest}"':
                raise Lacking(f"{path} is another one there")
            if answer.status != 206:
                raise rubbish("a range was asked for, and not given")
            yield _body(answer, end - first)

    async def ping(self) -> tuple[float, float | None]:
        """Seconds that the smallest question takes, and the source's date (unix seconds, s)."""
        began = monotonic()
        async with self._get("/api/offers/ping", {}, {}) as answer:
            took = monotonic() - began
            try:
                return took, parsedate_to_datetime(answer.headers["Date"]).timestamp()
            except (KeyError, ValueError, OverflowError):
                return took, None

    async def _whole(self, path: str, query: Mapping[str, str], most: int) -> tuple[bytes, int]:
        """A body of at most `most` bytes, unpacked, and how many crossed the link for it."""
        body = bytearray()
        async with self._get(path, query, {}) as answer:
            async for chunk in _chunks(answer):
                body += chunk
                if len(body) > most:
                    raise rubbish(f"{path} has no end")
            packed = answer.content_length
        return bytes(body), len(body) if packed is None else packed

    @contextlib.asynccontextmanager
    async def _get(
        self, path: str, query: Mapping[str, str], headers: Mapping[str, str]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        limits = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS)
        sent = {"Authorization": f"Bearer {self._token()}", **headers}
        answer: aiohttp.ClientResponse | None = None
        try:
            async with asyncio.timeout(_CONNECT_SECONDS + STALL_SECONDS):
                answer = await self._http.get(
                    self.name + path,
                    params=query,
                    headers=sent,
                    timeout=limits,
                    allow_redirects=False,
                )
            if answer.status == 503 and "/materials" in path:
                raise NotYet(path)
            if answer.status not in (200, 204, 206):
                raise _refusal(answer.status, path)
            self._answers.add(answer)
            yield answer
        except (aiohttp.ClientConnectionError, TimeoutError, OSError) as error:
            raise away(str(error) or type(error).__name__) from error
        except aiohttp.ClientPayloadError as error:
            # The link or the source went away in the middle of a body; packed wrongly is another
            # thing.
            if isinstance(error.__cause__, ContentEncodingError):
                raise rubbish("it packs what cannot be unpacked") from error
            raise away("it broke off") from error
        except aiohttp.ClientError as error:
            raise rubbish(f"it speaks no proper HTTP: {error}") from error
        finally:
            if answer is not None:
                self._answers.discard(answer)
                _let_go(answer)


def _waits(seconds: int) -> dict[str, str]:
    return {"waits": str(seconds)} if seconds else {}


def _let_go(answer: aiohttp.ClientResponse) -> None:
    """A connection whose answer was read to its end is kept; any other is reset at once, so that
    the source stops within one way of the link and not when its buffers are empty."""
    connection = answer.connection
    transport = connection.transport if connection is not None else None
    if transport is not None and not answer.content.is_eof():
        inner = transport.get_extra_info("socket")
        if inner is not None:
            with contextlib.suppress(OSError):
                inner.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
        transport.abort()
        answer.close()
    else:
        answer.release()


async def _chunks(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The body as it comes. Raises Absent when nothing does."""
    since, got = monotonic(), 0
    while True:
        try:
            async with asyncio.timeout(STALL_SECONDS):
                chunk = await answer.content.read(_CHUNK)
        except TimeoutError as error:
            raise away("it stalls") from error
        if not chunk:
            return
        got += len(chunk)
        now = monotonic()
        if now - since > _TRICKLE_SECONDS:
            if got < _TRICKLE_BYTES:
                raise away("it trickles")
            since, got = now, 0
        yield chunk


async def _nothing() -> AsyncIterator[bytes]:
    nothing: tuple[bytes, ...] = ()
    for piece in nothing:
        yield piece


async def _body(answer: aiohttp.ClientResponse, most: int) -> AsyncIterator[bytes]:
    """A body whose length is told, and right."""
    length = answer.content_length
    if length is None or length > most or "Content-Encoding" in answer.headers:
        raise rubbish("an answer is longer than what was asked for")
    async for chunk in _chunks(answer):
        yield chunk


def _read_changes(body: bytes, size: int) -> Changes:
    try:
        document: Any = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise rubbish("its list is not JSON") from error
    members = canonical.Members(document, "offers")
    offers, gone = [], []
    for item in members.list("offers"):
        one = canonical.Members(item, "offer")
        if one.has("gone"):
            gone.append(read_lesson(one))
        else:
            offers.append(read_offer(item))
    return Changes(
        offers,
        gone,
        members.text("cursor")[:64],
        members.flag("more"),
        members.flag("reset"),
        size,
    )


def _refusal(status: int, path: str) -> Refused | Absent:
    if status in (404, 410, 412, 416):
        return Lacking(f"{path} is not there")
    if status in (401, 403):
        return away("it does not let this relay in: its token may have run out")
    if status >= 500 or status == 429:
        return away(f"it answers with status {status}")
    return rubbish(f"it answers with status {status}")


def away(why: str) -> Absent:
    """The source is not there, or as good as."""
    return Absent(f"The source cannot be reached: {why}.", fix="It is asked again by itself.")


def rubbish(what: str) -> Refused:
    """The source sent what cannot be used."""
    detail = f"The source sent rubbish: {what}."
    return Refused(502, "source-rubbish", detail, fix="Another one is asked.")
