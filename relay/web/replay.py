"""Replay, put together: visitors on the school's network, copies for old devices, whole files.

Here: which parts there are and how they hang together. Not here: what each does (`lan`, `plain`,
`mdns`, `files`, `relay.record.copies_maker`). The service owns one of these.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from aiohttp import web

from classroom.archive.names import MANIFEST, is_lesson
from classroom.tokens import Right
from classroom.wire import LessonState
from relay.cache.cache import Cache
from relay.record.copies_maker import CopiesMaker
from relay.settings import RelaySettings
from relay.web.access import Access
from relay.web.archived import read_archived
from relay.web.archives import Archives
from relay.web.files import Files
from relay.web.lan import Lan, Ports, local_addresses
from relay.web.lessons import KnownLessons
from relay.web.plain import open_plain_site, plain_is_for_visitors


class Replay:
    """Create it, give its middleware and routes to the application, `listen`, and `run` it."""

    def __init__(
        self, settings: RelaySettings, access: Access, lessons: KnownLessons, cache: Cache
    ) -> None:
        data = Path(settings.data)
        archives = data / "archives"
        self._settings = settings
        self._access = access
        self._lessons = lessons
        self._archives = archives
        floor = round(settings.cache.free_floor_gb * 1e9)
        self.lan = Lan(settings, is_published=self.is_published)
        access.visitors = self.lan.admit
        # At the root alone, whose archives all others have copies of.
        wanted = settings.replay.copies and not settings.parents
        self._copies = (
            CopiesMaker(
                archives,
                is_busy=self._is_taught,
                floor_bytes=floor,
            )
            if wanted
            else None
        )
        self._files = Files(
            data / "files",
            archives=Archives(cache),
            title=self._title,
            most_bytes=round(settings.replay.files_gb * 1e9),
            floor_bytes=floor,
        )
        self.middleware = plain_is_for_visitors(lambda: self.lan.ports.secure, self.lan.is_near)

    def add_routes(self, app: web.Application) -> None:
        """GET /api/lan and what belongs to it, and lessons as files; before those of archives."""
        self.lan.add_routes(app)

        async def authorize(request: web.Request, lesson: str) -> None:
            await self._access.check(request, Right.REPLAY, lesson, query=True)

        self._files.add_routes(app, authorize)

    def finished(self, lesson: str) -> None:
        """The archive of `lesson` is finished."""
        if self._copies is not None:
            self._copies.add(lesson)

    def _title(self, lesson: str) -> str:
        info = self._lessons.info(lesson)
        if info is not None:
            return info.title
        found = read_archived(self._archives / lesson)
        return found.title if found is not None else lesson

    def _is_taught(self) -> bool:
        return any(info.publishing for info in self._lessons.all())

    def is_published(self, lesson: str) -> bool:
        """Whether everybody may see the recording: it is over, and its manifest is here."""
        if not is_lesson(lesson):
            return False
        info = self._lessons.info(lesson)
        if info is not None and info.state is LessonState.LIVE:
            return False
        return (self._archives / lesson / MANIFEST).is_file()

    async def listen(self, runner: web.AppRunner, port: int, *, secure: bool) -> None:
        """Tell at which port the relay listens; open the plain one beside it where it is wanted."""
        self.lan.ports = Ports(port, secure)
        wanted = self._settings.replay.plain_port
        if secure and self.lan.visitors and wanted >= 0:
            plain = await open_plain_site(runner, self._settings.host, wanted)
            self.lan.ports = replace(self.lan.ports, plain=plain)

    async def run(self) -> None:
        """Say the library's name on the network, and make copies; until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._files.run())
            if self._copies is not None:
                tasks.create_task(self._copies.run())
            if self.lan.visitors and self._settings.replay.mdns:
                # Imported where it is needed: nobody else pays its 4 MiB.
                from relay.web.mdns import Announcer

                tasks.create_task(Announcer(self.lan, self._settings.name, _announced).run())


def _announced() -> Sequence[str]:
    """IPv4 alone: what asks by mDNS and knows no IPv4 does not exist in schools."""
    return [text for text in local_addresses() if ":" not in text]
