"""The service process: the relay's one HTTP port and all that is not media.

Here: a process around a `Service`, its port, TLS, signals and the word that it is ready. Not here:
what it does (`service`). Started and restarted by `relay.node`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from pathlib import Path
from typing import Final

from aiohttp import web

from relay.service import Service
from relay.settings import RelaySettings
from relay.startup import tls_context

_log: Final = logging.getLogger("relay.service")


def leave_a_processor() -> None:
    """Leave one processor to the media process, if there are several.

    The recorder wakes whenever a frame has been sent; beside the sender it delays the next one.
    """
    _, *others = sorted(os.sched_getaffinity(0))
    if others:
        os.sched_setaffinity(0, others)


async def serve(
    settings: RelaySettings,
    url: str,
    run_directory: Path,
    listening: socket.socket,
    restarts: int,
    ready_fd: int,
) -> None:
    """Run a service process until SIGTERM or SIGINT; writes one byte to `ready_fd` when ready."""
    leave_a_processor()
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    service = Service(settings, url, run_directory, restarts)
    # A packed body is refused by its header. Unpacked on the way in, a bad one would cut the
    # connection before its sender has read why.
    runner = web.AppRunner(
        service.application(), access_log=None, shutdown_timeout=2.0, auto_decompress=False
    )
    await runner.setup()
    try:
        tls = tls_context(settings)
        await web.SockSite(runner, listening, ssl_context=tls).start()
        port = int(listening.getsockname()[1])
        await service.replay.listen(runner, port, secure=tls is not None)
        _log.info("service-process-ready", extra={"url": url, "pid": os.getpid()})
        stopped = asyncio.ensure_future(stopping.wait())
        connected = asyncio.ensure_future(service.media_up.wait())
        # What failed before the media process was there would never let it be heard of.
        await asyncio.wait(
            (stopped, connected, service.failed), return_when=asyncio.FIRST_COMPLETED
        )
        connected.cancel()
        if not service.failed.done():
            os.write(ready_fd, b"1")
        await asyncio.wait((stopped, service.failed), return_when=asyncio.FIRST_COMPLETED)
        if service.failed.done():
            stopped.cancel()
            service.failed.result()
    finally:
        await runner.cleanup()
