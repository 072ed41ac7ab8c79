"""A recorder as a process of its own, to be killed by a test or to run out of disk.

Here: nothing but the start: the feed's socket is the inherited descriptor FEED_FD, the directory
is the first argument, the buffer's size the second. Each change of state is a line on stdout. The
real relay does the same inside its service process.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from pathlib import Path

from relay.record.recorder import run_recorder
from relay.record.recording import RecorderSettings, RecordingState


def tell(lesson: str, state: RecordingState) -> None:
    print(state.state, state.detail, sep="\t", flush=True)


async def main() -> None:
    feed = socket.socket(fileno=int(os.environ["FEED_FD"]))
    reader, writer = await asyncio.open_unix_connection(sock=feed)
    settings = RecorderSettings(
        beat_ms=4_000,
        commit_interval=0.02,
        retry_interval=0.05,
        buffer_bytes=int(sys.argv[2]),
    )
    await run_recorder(reader, writer, Path(sys.argv[1]), settings=settings, on_state=tell)


if __name__ == "__main__":
    asyncio.run(main())
