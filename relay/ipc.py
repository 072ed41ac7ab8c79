"""Calls between the relay's two processes: msgpack frames over a Unix stream socket.

    frame = !I length · msgpack [kind, …]
    call    [0, id, method, parameters]     answer  [1, id, problem or nil, result]
    notice  [2, name, parameters]           either way, not answered

The media process listens, the service connects and connects again for ever. A `Refused` or
`Absent` travels as its problem document and is raised on the other side as what it was. Both ends
are ours and of one version, so a frame that cannot be read ends the connection.
"""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgpack

from classroom.errors import Absent, Refused, problem

# Names of the sockets in the run directory. They stand here and not with the media process, so that
# the service need not load all that forwards media to know them: 25 MiB.
RPC_SOCKET: Final = "media.sock"
FEED_SOCKET: Final = "feed.sock"
DERIVED_SOCKET: Final = "derived.sock"
MAX_FRAME: Final = 8 * 1024 * 1024
CALL_SECONDS: Final = 10.0
_LENGTH: Final = struct.Struct("!I")
# Kind of a frame → how many values it has.
_SHAPES: Final = {0: 4, 1: 4, 2: 3}
_log: Final = logging.getLogger("relay.ipc")
Handler = Callable[[str, dict[str, Any]], Awaitable[Any]]
Notice = Callable[[str, dict[str, Any]], None]


async def read_frame(reader: asyncio.StreamReader) -> list[Any]:
    """The next frame. Raises ConnectionError at the stream's end or on rubbish."""
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        if length > MAX_FRAME:
            raise ConnectionError("frame too long")
        frame = msgpack.unpackb(await reader.readexactly(length))
    except (asyncio.IncompleteReadError, ValueError, msgpack.UnpackException) as error:
        raise ConnectionError("the other process ended the connection") from error
    if not isinstance(frame, list) or not frame or len(frame) != _SHAPES.get(frame[0]):
        raise ConnectionError("not a frame")
    return frame


def write_frame(writer: asyncio.StreamWriter, frame: list[Any]) -> None:
    """Queue a frame."""
    body = msgpack.packb(frame)
    writer.write(_LENGTH.pack(len(body)) + body)


async def serve_connection(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handler: Handler
) -> None:
    """Answer calls, one after the other, until the connection ends."""
    try:
        while True:
            frame = await read_frame(reader)
            if frame[0] != 0:
                continue
            _, number, method, parameters = frame
            try:
                answer = [1, number, None, await handler(method, parameters)]
            except (Refused, Absent) as error:
                answer = [1, number, problem(error) | _extras(error), None]
            except Exception:
                # One call that meets a bug must not cost the connection that all others use.
                _log.exception("call-failed", extra={"method": str(method)})
                answer = [1, number, problem(_BUG) | _extras(_BUG), None]
            write_frame(writer, answer)
            await writer.drain()
    except ConnectionError:
        return


_BUG: Final = Refused(
    500,
    "internal-error",
    "The relay made a mistake.",
    fix="Try again; if it stays, tell whoever looks after the relay.",
)


def _extras(error: Refused | Absent) -> dict[str, object]:
    if isinstance(error, Refused):
        return {"code": error.code}
    return {"retry_after": error.retry_after}


def _raise(document: dict[str, Any]) -> None:
    if "code" in document:
        raise Refused(
            document["status"],
            document["code"],
            document["detail"],
            fix=document["fix"],
            field=document.get("field"),
        )
    raise Absent(
        document["detail"], fix=document["fix"], retry_after=document.get("retry_after", 2.0)
    )


class RpcClient:
    """The calling side: keeps one connection alive. Run `run` in a task."""

    def __init__(
        self, path: str, *, notice: Notice, connected: Callable[[], None] = lambda: None
    ) -> None:
        self._path = path
        self._notice = notice
        self._connected = connected
        self._writer: asyncio.StreamWriter | None = None
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._number = 0

    @property
    def is_connected(self) -> bool:
        """Whether calls can be made."""
        return self._writer is not None

    async def run(self) -> None:
        """Connect, read, and connect again, until cancelled."""
        while True:
            try:
                reader, writer = await asyncio.open_unix_connection(self._path)
            except OSError:
                await asyncio.sleep(0.1)
                continue
            self._writer = writer
            self._connected()
            try:
                while True:
                    self._receive(await read_frame(reader))
            except ConnectionError:
                pass
            finally:
                self._writer = None
                writer.close()
                for future in self._waiting.values():
                    if not future.done():
                        future.set_exception(_gone())
                self._waiting.clear()

    def _receive(self, frame: list[Any]) -> None:
        if frame[0] == 2:
            self._notice(frame[1], frame[2])
        elif frame[0] == 1:
            future = self._waiting.pop(frame[1], None)
            if future is None or future.done():
                return
            if frame[2] is None:
                future.set_result(frame[3])
                return
            try:
                _raise(frame[2])
            except (Refused, Absent) as error:
                future.set_exception(error)

    async def call(self, method: str, **parameters: Any) -> Any:
        """The answer of the other process. Raises Refused, or Absent when it is not there."""
        writer = self._writer
        if writer is None:
            raise _gone()
        self._number += 1
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        number = self._number
        self._waiting[number] = future
        write_frame(writer, [0, number, method, parameters])
        try:
            async with asyncio.timeout(CALL_SECONDS):
                return await future
        except TimeoutError as error:
            raise _gone() from error
        finally:
            self._waiting.pop(number, None)


def _gone() -> Absent:
    return Absent(
        "The media part of the relay is starting.",
        fix="Nothing to do: the page tries again by itself.",
        retry_after=1.0,
    )
