"""`classroom link`: makes a link for a teacher, a room, a viewer, or a relay's token.

Works beside a running server: both use the same key and records; without the server's key it
refuses, since nobody would accept the link. The link is printed on standard
output and nothing else is, so that it can be piped; it is a secret and is never logged.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
from pathlib import Path

from classroom import clock
from classroom.accounts import PAGES, LinkOrder, claims_for
from classroom.errors import Misuse, Refused
from classroom.settings import Settings, check_public_url
from classroom.store import Records, load_key
from classroom.tokens import ANY_LESSON, Claims, Role, Signer
from classroom.toml_settings import load
from classroom.wire import is_lesson_id

_MOST_DAYS = 36600.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `classroom link`."""
    parser.add_argument("role", choices=[role.value for role in Role], help="who gets the link")
    parser.add_argument("--lesson", default=ANY_LESSON, metavar="ID", help="default: every lesson")
    parser.add_argument("--name", default="", help="name of the person, room or relay")
    parser.add_argument("--days", type=float, metavar="N", help="how long it is good for")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings, see config/")
    parser.add_argument(
        "--data", metavar="DIR", help="data directory of the server, instead of --config"
    )
    parser.add_argument(
        "--school", metavar="NAME", help="lead a room or viewer to this school's own relay"
    )
    parser.add_argument("--url", help="address of the page's server (a relay's, for rooms)")


def run(args: argparse.Namespace) -> int:
    """Print the link. Raises Misuse."""
    settings = load(Settings, args.config).with_arguments(data=args.data)
    role = Role(args.role)
    if args.lesson != ANY_LESSON and not is_lesson_id(args.lesson):
        raise Misuse(f"--lesson must be a lesson id (a-z, 0-9 and -), not {args.lesson!r}")
    days = settings.links.days_for(role) if args.days is None else args.days
    if not 0 < days <= _MOST_DAYS:
        raise Misuse(f"--days must be more than 0 and at most {_MOST_DAYS:g}")
    if len(args.name) > 100 or not args.name.isprintable():
        raise Misuse("--name must be at most 100 characters in one line")
    server = settings.server
    url = (args.url or server.public_url or f"http://localhost:{server.port}").rstrip("/")
    check_public_url("--url", url)
    if args.school is not None and (args.url or role not in (Role.ROOM, Role.VIEWER)):
        raise Misuse("--school goes with links for rooms and viewers, and without --url")
    claims = claims_for(
        LinkOrder(role, args.lesson, args.name, days),
        token_id=secrets.token_urlsafe(12),
        now=clock.wall(),
    )
    signer = Signer(load_key(settings.data))
    url = asyncio.run(_note(settings, claims, args.school)) or url
    token = signer.sign(claims)
    page = PAGES[role]
    print(token if page is None else f"{url}{page}#token={token}")
    return 0


async def _note(settings: Settings, claims: Claims, school: str | None) -> str | None:
    """Note the link; where the relay of `school` is, if one is named."""
    records = Records(settings.storage.database_url, settings.data)
    try:
        await records.prepare()
        url = await records.relays.url_of(school) if school is not None else None
        if claims.lesson != ANY_LESSON:
            try:
                await records.lesson(claims.lesson)
            except Refused:
                print(
                    f"classroom: there is no lesson {claims.lesson!r} yet; "
                    "the link works once there is",
                    file=sys.stderr,
                )
        await records.add_link(claims, issued_by="command line")
        return url
    finally:
        await records.close()
