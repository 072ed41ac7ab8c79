"""`classroom serve`: runs the control plane until it is told to stop.

Prints one line when it answers (with --json one JSON object, with the bound port), ends cleanly
on SIGINT or SIGTERM: pages and relays are told to come back, requests under way are finished.
"""

from __future__ import annotations

import argparse
import asyncio
import errno
import json
import signal
import ssl
import sys
from pathlib import Path
from typing import Final

from aiohttp import web

from classroom.errors import Misuse
from classroom.settings import Settings
from classroom.toml_settings import load
from classroom.web import logs
from classroom.web.app import make_app

# Requests take milliseconds; whatever is still open after this is a dead connection.
_SHUTDOWN_S: Final = 5.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `classroom serve`."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings, see config/")
    parser.add_argument("--host", help="address to listen on")
    parser.add_argument("--port", type=int, help="TCP port; 0 lets the system choose")
    parser.add_argument("--data", metavar="DIR", help="where records and the key are kept")
    parser.add_argument("--public-url", metavar="URL", help="address that browsers use")
    parser.add_argument("--json", action="store_true", help="print the ready line as JSON")


def run(args: argparse.Namespace) -> int:
    """Serve until a signal; 0 after a clean stop. Raises Misuse."""
    settings = load(Settings, args.config).with_arguments(
        host=args.host, port=args.port, data=args.data, public_url=args.public_url
    )
    logs.set_up(settings.server.log_level)
    # A search looks through thousands of lessons in a thread; pages and relays are answered beside
    # it within a millisecond, where the interpreter would let a thread run for five.
    sys.setswitchinterval(0.001)
    asyncio.run(serve(settings, as_json=args.json))
    return 0


async def serve(settings: Settings, *, as_json: bool) -> None:
    """Run the application until SIGINT or SIGTERM."""
    server = settings.server
    tls = _tls(settings)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    runner = make_runner(make_app(settings))
    try:
        await runner.setup()
        site = web.TCPSite(runner, server.host, server.port, ssl_context=tls)
        try:
            await site.start()
        except OSError as error:
            raise _cannot_listen(error, settings) from error
        host, port = runner.addresses[0][:2]
        scheme = "https" if tls is not None else "http"
        url = server.public_url or f"{scheme}://{_reachable(host)}:{port}"
        logs.event("control-plane-ready", url=url, host=host, port=port)
        if as_json:
            ready = {"url": url, "host": host, "port": port, "data": str(settings.data.resolve())}
            print(json.dumps(ready), flush=True)
        else:
            print(f"classroom is ready at {url}", flush=True)
        await stop.wait()
    finally:
        await runner.cleanup()
    logs.event("control-plane-stopped", reason="signal")


def make_runner(app: web.Application, shutdown_s: float = _SHUTDOWN_S) -> web.AppRunner:
    """What serves `app`; shutdown_s: seconds that requests under way get at the end."""
    # A packed body is refused by its header. Unpacked on the way in, a bad one would cut the
    # connection before its sender has read why.
    return web.AppRunner(
        app,
        access_log=None,
        shutdown_timeout=shutdown_s,
        handle_signals=False,
        auto_decompress=False,
    )


def _reachable(host: str) -> str:
    """`host` as it can be opened from this machine."""
    if host in ("0.0.0.0", "::"):
        return "localhost"
    return f"[{host}]" if ":" in host else host


def _cannot_listen(error: OSError, settings: Settings) -> Misuse:
    place = f"port {settings.server.port} on {settings.server.host}"
    if error.errno == errno.EADDRINUSE:
        return Misuse(f"{place} is in use by another program; stop it or choose another --port")
    return Misuse(f"cannot listen on {place}: {error.strerror}; choose another --host or --port")


def _tls(settings: Settings) -> ssl.SSLContext | None:
    server = settings.server
    if not server.tls_certificate:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(server.tls_certificate, server.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise Misuse(
            f"the TLS files {server.tls_certificate} and {server.tls_key} cannot be used: {error}"
        ) from error
    return context
