"""`classroom-relay`: the data plane on the command line.

`serve` runs a relay (its node, which starts the two processes). `media` and `service` are those
processes; the node calls them, people do not. `export` and `import` copy lessons to and from a USB
drive, `status` says how the relay fares. Misuse ends with a sentence and status 2.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import json
import os
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from classroom import toml_settings
from classroom.errors import Misuse
from relay import drive_command, logs, status_command
from relay.settings import RelaySettings

_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(prog="classroom-relay", description="A relay for lessons.")
    commands = result.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="run a relay")
    serve.add_argument("--config", type=Path, help="TOML file; see config/relay.toml")
    serve.add_argument("--host", help="address to listen on")
    serve.add_argument("--port", type=int, help="HTTP port, 0 for a free one")
    serve.add_argument("--udp-port", type=int, help="UDP port for media, 0 for a free one")
    serve.add_argument("--data", help="directory for archives and state")
    serve.add_argument("--central", help="URL of the control plane")
    serve.add_argument(
        "--parent",
        action="append",
        dest="parents",
        metavar="URL",
        help="relay to take lessons from; again for each that may stand in for it",
    )
    serve.add_argument("--code", help="code from the central school, needed once per relay")
    serve.add_argument("--public-url", help="where browsers reach this relay")
    serve.add_argument("--token-file", help="file with this relay's token")
    serve.add_argument("--name", help="this relay's name")
    serve.add_argument("--json", action="store_true", help="print the ready line as JSON")
    drive_command.add_commands(commands)
    status_command.add_command(commands)
    captions = commands.add_parser("captions", help="add captions to a recorded lesson")
    captions.add_argument("lesson", help="the lesson's id")
    captions.add_argument("file", type=Path, help="WebVTT, its times counted from the beginning")
    captions.add_argument("--language", default="vi", help='as in "vi" or "en"')
    captions.add_argument("--label", default="Tiếng Việt", help="what people read")
    captions.add_argument("--config", type=Path, help="TOML file; see config/relay.toml")
    captions.add_argument("--data", help="directory for archives and state")
    for name in ("media", "service"):
        process = commands.add_parser(name, help=argparse.SUPPRESS)
        process.add_argument("--settings-fd", type=int, required=True)
        process.add_argument("--run-directory", type=Path, required=True)
        process.add_argument("--parent", type=int, required=True)
        process.add_argument("--restarts", type=int, default=0)
        process.add_argument("--udp-fd", type=int)
        process.add_argument("--http-fd", type=int)
        process.add_argument("--ready-fd", type=int)
        process.add_argument("--url")
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    options = parser().parse_args(arguments)
    logs.set_up(options.command if options.command != "serve" else "node")
    try:
        match options.command:
            case "serve":
                _serve(options)
            case "export" | "import":
                return drive_command.run(options)
            case "status":
                return status_command.run(options)
            case "captions":
                _captions(options)
            case "media":
                _die_with(options.parent)
                _media(options)
            case "service":
                _die_with(options.parent)
                _service(options)
    except Misuse as error:
        print(f"classroom-relay: {error}", file=sys.stderr)
        return 2
    return 0


def _serve(options: argparse.Namespace) -> None:
    # Imported where needed: the node stays small, and each process loads only its own half.
    from relay.node import Node, describe
    from relay.startup import prepare_data, tls_context

    settings = toml_settings.load(RelaySettings, options.config)
    changes = {
        name: value
        for name in (
            *("host", "port", "data", "central", "public_url", "token_file", "name", "code"),
            "parents",
        )
        if (value := getattr(options, name)) is not None
    }
    if "parents" in changes:
        changes["parents"] = tuple(changes["parents"])
    settings = replace(settings, **changes)
    if options.udp_port is not None:
        settings = replace(settings, media=replace(settings.media, udp_port=options.udp_port))
    tls_context(settings)
    prepare_data(Path(settings.data))

    def ready(url: str, udp_port: int) -> None:
        line = describe(url, udp_port)
        text = json.dumps(line) if options.json else f"Relay at {url}, media on UDP {udp_port}"
        print(text, flush=True)

    async def run() -> None:
        await Node(settings, ready).run()

    asyncio.run(run())


def _captions(options: argparse.Namespace) -> None:
    from relay.record.captions import add_captions

    data = Path(options.data or toml_settings.load(RelaySettings, options.config).data)
    language, label = options.language, options.label
    added = add_captions(data / "archives", options.lesson, options.file, language, label)
    print(f"{options.lesson} has captions in {added.language} now, {added.bytes} bytes")


def _media(options: argparse.Namespace) -> None:
    from relay import media_process

    settings = _settings(options)
    sock = socket.socket(fileno=options.udp_fd)
    asyncio.run(media_process.serve(settings.media, options.run_directory, sock))


def _service(options: argparse.Namespace) -> None:
    from relay import service_process

    settings = _settings(options)
    listening = socket.socket(fileno=options.http_fd)
    asyncio.run(
        service_process.serve(
            settings,
            options.url,
            options.run_directory,
            listening,
            options.restarts,
            options.ready_fd,
        )
    )


def _settings(options: argparse.Namespace) -> RelaySettings:
    # Not by reading on: both processes share the place in this file.
    size = os.fstat(options.settings_fd).st_size
    table = json.loads(os.pread(options.settings_fd, size, 0))
    os.close(options.settings_fd)
    return toml_settings.from_table(
        RelaySettings, _without_none(table), where="settings of the node"
    )


def _without_none(table: dict[str, object]) -> dict[str, object]:
    """TOML knows no null, so neither does the reader of settings."""
    return {
        key: _without_none(value) if isinstance(value, dict) else value
        for key, value in table.items()
        if value is not None
    }


def _die_with(parent: int) -> None:
    """End this process when the node dies, however it dies."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main())
