"""`classroom relay-code`: makes the code that a school enrols its relay with.

Works beside a running server: both use the same records. The code is printed and kept as a digest
only, so nobody can look it up later; a lost one is left to run out, and another made.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from classroom import clock
from classroom.errors import Misuse
from classroom.settings import Settings
from classroom.store import Records, load_key
from classroom.tokens import CODE_DAYS, code_digest, new_code, read_code
from classroom.toml_settings import load

_DAY_S = 86_400.0
_MOST_CHARS = 60


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `classroom relay-code`."""
    parser.add_argument("--name", required=True, metavar="SCHOOL", help="the school's name")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings, see config/")
    parser.add_argument(
        "--data", metavar="DIR", help="data directory of the server, instead of --config"
    )


def run(args: argparse.Namespace) -> int:
    """Print the code. Raises Misuse."""
    settings = load(Settings, args.config).with_arguments(data=args.data)
    name = args.name.strip()
    if not 0 < len(name) <= _MOST_CHARS or not name.isprintable():
        raise Misuse(f"--name must be 1 to {_MOST_CHARS} characters in one line")
    # Without the server's key nobody would sign what the code is for.
    load_key(settings.data)
    code = new_code()
    asyncio.run(_keep(settings, code, name))
    print(code)
    return 0


async def _keep(settings: Settings, code: str, name: str) -> None:
    records = Records(settings.storage.database_url, settings.data)
    now = clock.wall()
    try:
        await records.prepare()
        digest = code_digest(read_code(code))
        await records.relays.add_code(digest, name, now=now, expires_at=now + CODE_DAYS * _DAY_S)
    finally:
        await records.close()
