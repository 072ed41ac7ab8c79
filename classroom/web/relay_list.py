"""`classroom relay-list` and `classroom relay-revoke`: the relays of schools, and ending one.

Works beside a running server, which tells all relays of a revocation within seconds. A revoked
relay goes on serving what it holds to its own school; it gets nothing more from others.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from datetime import datetime
from pathlib import Path

from classroom import clock
from classroom.errors import Misuse
from classroom.settings import Settings
from classroom.store import Records, SchoolRelay
from classroom.toml_settings import load


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `classroom relay-list`."""
    parser.add_argument("--json", action="store_true", help="print one JSON array")
    _add_place(parser)


def run(args: argparse.Namespace) -> int:
    """Print one line for each relay. Raises Misuse."""
    relays = asyncio.run(_all(_settings(args)))
    if args.json:
        print(json.dumps([_as_json(relay) for relay in relays], ensure_ascii=False))
        return 0
    now = clock.wall()
    for relay in relays:
        print(f"{relay.name}\t{relay.id}\t{_standing(relay, now)}\t{relay.url or '-'}")
    if not relays:
        print("No relay has enrolled yet; make a code with: classroom relay-code --name SCHOOL")
    return 0


def add_revoke_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `classroom relay-revoke`."""
    parser.add_argument("relay", metavar="RELAY", help="its school's name or its id")
    _add_place(parser)


def revoke(args: argparse.Namespace) -> int:
    """End one relay's enrolment. Raises Misuse."""
    relay = asyncio.run(_revoke(_settings(args), args.relay.strip()))
    print(f"{relay.name} ({relay.id}) counts no more.")
    return 0


def _add_place(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings, see config/")
    parser.add_argument(
        "--data", metavar="DIR", help="data directory of the server, instead of --config"
    )


def _settings(args: argparse.Namespace) -> Settings:
    return load(Settings, args.config).with_arguments(data=args.data)


async def _all(settings: Settings) -> list[SchoolRelay]:
    records = Records(settings.storage.database_url, settings.data)
    try:
        await records.prepare()
        return await records.relays.all()
    finally:
        await records.close()


async def _revoke(settings: Settings, wanted: str) -> SchoolRelay:
    records = Records(settings.storage.database_url, settings.data)
    try:
        await records.prepare()
        found = [one for one in await records.relays.named(wanted) if one.revoked_at is None]
        if not found:
            raise Misuse(
                f"no relay in force is called {wanted!r}; `classroom relay-list` names them all"
            )
        if len(found) > 1:
            ids = ", ".join(one.id for one in found)
            raise Misuse(f"{len(found)} relays are called {wanted!r}; give the id of one: {ids}")
        await records.relays.revoke(found[0].id, now=clock.wall())
        return found[0]
    finally:
        await records.close()


def _standing(relay: SchoolRelay, now: float) -> str:
    if relay.revoked_at is not None:
        return f"revoked {_day(relay.revoked_at)}"
    word = "expired" if relay.expires_at <= now else "good until"
    return f"enrolled {_day(relay.enrolled_at)}, {word} {_day(relay.expires_at)}"


def _day(date: float) -> str:
    return datetime.fromtimestamp(date).strftime("%Y-%m-%d")


def _as_json(relay: SchoolRelay) -> dict[str, object]:
    return {
        "id": relay.id,
        "name": relay.name,
        "url": relay.url or None,
        "enrolled_at": relay.enrolled_at,
        "expires_at": relay.expires_at,
        "revoked_at": relay.revoked_at,
    }
