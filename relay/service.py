"""All that a service process holds, and how its parts tell each other of what happens.

Pages, WHIP and WHEP passed on to the media process, events for rooms, the recorder, archives, and
the line to the control plane. It may be killed at any time: media goes on, the feed waits, and a
new service process (`service_process`) takes up where this one ended.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import aiohttp
from aiohttp import web

from classroom.archive.manifest import Manifest
from classroom.clock import monotonic
from classroom.errors import Absent, Refused
from classroom.tokens import Right
from classroom.wire import CatchUp, LessonState, RelayArchive, RelayHello, RelayStep
from relay import ipc
from relay.cache.cache import Cache
from relay.derive.keeper import WorkerKeeper
from relay.ipc import DERIVED_SOCKET, FEED_SOCKET, RPC_SOCKET
from relay.power import read_stops
from relay.record.recorder import Recorder
from relay.record.recording import RecorderSettings, RecordingState, below
from relay.record.stills_maker import StillsMaker
from relay.record.watch import RecordingWatch
from relay.settings import RelaySettings
from relay.sync.allowance import Limits, spans_of
from relay.sync.client import Rules, Sync
from relay.sync.offers import Offers
from relay.web.access import HTTP, Access
from relay.web.archive_metrics import archive_families
from relay.web.archives import add_archive_routes
from relay.web.central import CentralLink
from relay.web.children import Children
from relay.web.enrolment import Enrolment
from relay.web.events import Events
from relay.web.health import Health
from relay.web.kept_rates import KeptRates
from relay.web.lesson_materials import LessonMaterials
from relay.web.lessons import KnownLessons
from relay.web.library import Library
from relay.web.offers import OfferRoutes
from relay.web.pages import add_page_routes
from relay.web.problems import boundary
from relay.web.replay import Replay
from relay.web.revoked import Revoked
from relay.web.rungs import Rungs
from relay.web.school_api import SchoolApi
from relay.web.scout import Scout
from relay.web.server_date import ServerDate
from relay.web.signalling import MAX_BODY, Signalling
from relay.web.status import Around, Status
from relay.web.stills import Stills
from relay.web.sync_metrics import sync_families
from relay.web.tree_metrics import tree_families
from relay.web.trunks import Trunks
from relay.web.upstream import Upstream
from relay.web.voice_wish import Wishes

_log: Final = logging.getLogger("relay.service")

VERSION: Final = "0.1.0"

_TEND_SECONDS: Final = 60.0


class Service:
    """Everything of one service process."""

    def __init__(
        self, settings: RelaySettings, url: str, run_directory: Path, restarts: int
    ) -> None:
        """url: where browsers reach this relay. restarts: earlier service processes."""
        data = Path(settings.data)
        archives = data / "archives"
        archives.mkdir(parents=True, exist_ok=True)
        self._settings = settings
        self._run_directory = run_directory
        self._recorder_connected = False
        self.media_up = asyncio.Event()
        self._ends: set[str] = set()
        self._ends_due = asyncio.Event()
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        date = ServerDate()
        self.enrolment = Enrolment(settings, data, date)
        self.upstream = Upstream(settings.parents or (settings.central,), lambda: self.enrolment.id)
        self.revoked = Revoked(data / "revoked.json")
        self.access = Access(
            lambda: self.upstream.url, data / "keys.json", revoked=self.revoked, date=date
        )
        self.lessons = KnownLessons(data / "lessons.msgpack", date)
        self.media = ipc.RpcClient(
            str(run_directory / RPC_SOCKET), notice=self._notice, connected=self._media_connected
        )
        self.rates = KeptRates(data / "rates.json", self.media)
        recording = RecorderSettings(beat_ms=round(settings.media.beat_seconds * 1000))
        self.recorder = Recorder(
            archives,
            settings=below(recording) if settings.parents else recording,
            on_state=self._recording,
            on_told=lambda lesson, told: self.trunks.tell_recording(lesson),
        )
        self.archives = archives
        self.cache = Cache(
            archives,
            data / "cache.json",
            root=not settings.parents,
            quota_bytes=round(settings.cache.quota_gb * 1e9),
            floor_bytes=round(settings.cache.free_floor_gb * 1e9),
            claim=lambda: self.materials.store.claim(),
            live=self._is_live,
        )
        self.offers = OfferRoutes(
            self.access,
            archives,
            Offers(archives, data / "offers.sqlite", self._is_offered),
            self.cache,
        )
        self.sync = self._make_sync(settings, data) if settings.parents else None
        self.materials = LessonMaterials(
            settings, self.access, self.lessons, self.cache, self.sync, self._token
        )
        self.worker = WorkerKeeper(str(run_directory / DERIVED_SOCKET))
        self.rungs = Rungs()
        self.stills = Stills(
            self.rungs,
            self.lessons,
            self.recorder.keyframes,
            StillsMaker(),
            settings.media.beat_seconds,
        )
        self.children = Children(self.access, self.lessons, self.upstream, self.revoked, self._step)
        self.central = CentralLink(
            self.upstream,
            self._token,
            lambda: RelayHello(self.enrolment.name, url, VERSION, settings.media.viewers_max),
            self.lessons,
            self._lesson_ended,
            data / "unreported.json",
            self.rungs,
            below=self.children,
            revoked=self.revoked,
            date=date,
            prove=self.enrolment.prove,
            is_root=not settings.parents,
        )
        self.enrolment.observe(self.central.try_again)
        self.scout = Scout(self.upstream, self._token, self.central.move, self._is_busy)
        self.trunks = Trunks(
            self.access,
            self.media,
            self.lessons,
            self.upstream,
            self.central,
            self.children,
            self._token,
            self.recorder,
            is_child=bool(settings.parents),
        )
        self.revoked.observe(lambda: self.trunks.expel(self.revoked.message.relays))
        self.events = Events(self.access, self.lessons, self.rungs, self.stills, self._put_behind)
        self.library = Library(self.access, self.lessons, archives)
        if self.sync is not None:
            self.sync.queue.observe(self.library.changed)
        self.replay = Replay(settings, self.access, self.lessons, self.cache)
        self.health = Health(
            self.media,
            self.lessons,
            central_connected=lambda: self.central.connected,
            recorder_connected=lambda: self._recorder_connected,
            pages=lambda: self.events.pages,
            restarts=restarts,
            rungs=self.rungs,
            stills_made=lambda: self.stills.made,
            more=lambda: [
                *tree_families(self.children, self.upstream),
                *sync_families(self.sync, self.offers),
                *archive_families(self.cache.counters(), self.cache.space(), len(read_stops(data))),
                *self.materials.families(),
            ],
        )
        self.status = Status(
            settings,
            VERSION,
            self.access,
            self.replay.lan,
            self.media,
            self.cache,
            self.lessons,
            self.upstream,
            self.enrolment,
            Around(
                lambda: self._recorder_connected,
                restarts,
                self.sync.progress if self.sync is not None else None,
                date,
                self.materials,
            ),
        )

    def application(self) -> web.Application:
        """The HTTP side."""
        middlewares = [boundary, self.replay.middleware]
        app = web.Application(middlewares=middlewares, client_max_size=MAX_BODY)
        ice_servers = self._settings.ice_servers
        Signalling(self.access, self.media, self.lessons, ice_servers).add_routes(app)
        self.events.add_routes(app)
        self.library.add_routes(app)
        self.replay.add_routes(app)
        self.health.add_routes(app)
        self.status.add_routes(app)
        self.offers.add_routes(app)
        self.materials.add_routes(app)
        # A parent leads on to its own, and the root relay to the control plane.
        add_page_routes(app, (self._settings.parents or (self._settings.central,))[0])
        self.children.add_routes(app)
        self.trunks.add_routes(app)
        SchoolApi(self.access, self.upstream, self.enrolment).add_routes(app)

        async def authorize(request: web.Request, lesson: str) -> None:
            await self.access.check(request, Right.REPLAY, lesson, query=True)

        if self.sync is not None:
            asked = self.sync.ask_now, self.sync.is_offered
            add_archive_routes(app, self.cache, authorize, *asked)
        else:
            add_archive_routes(app, self.cache, authorize)
        app.cleanup_ctx.append(self._background)
        return app

    async def _background(self, app: web.Application) -> AsyncIterator[None]:
        timeout = aiohttp.ClientTimeout(total=10.0)
        async with aiohttp.ClientSession(timeout=timeout) as http:
            app[HTTP] = http
            await self.access.start(http)
            tasks = asyncio.ensure_future(self._tasks(http))
            tasks.add_done_callback(self._background_ended)
            yield
            tasks.cancel()
            await asyncio.wait((tasks,))
            await self.recorder.close()
            await asyncio.to_thread(self.cache.close)

    def _background_ended(self, tasks: asyncio.Future[None]) -> None:
        """Without its tasks this process only seems to live: end, and be started again."""
        if not tasks.cancelled() and not self.failed.done():
            error = tasks.exception()
            self.failed.set_exception(error or RuntimeError("the service's tasks ended"))

    async def _tasks(self, http: aiohttp.ClientSession) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.media.run())
            tasks.create_task(self._record())
            tasks.create_task(self.worker.run())
            tasks.create_task(self._watch_recordings())
            tasks.create_task(self._tend_cache())
            if self.sync is not None:
                tasks.create_task(self.sync.run(http))
            tasks.create_task(self.materials.run(http))
            tasks.create_task(self.access.keep_trying(http))
            tasks.create_task(self.enrolment.run(http))
            tasks.create_task(self.central.run(http))
            tasks.create_task(self.scout.run(http))
            tasks.create_task(self.trunks.run(http))
            tasks.create_task(self._end_again())
            tasks.create_task(self.stills.run())
            tasks.create_task(self._watch_rooms())
            tasks.create_task(self.rates.run())
            tasks.create_task(self.replay.run())
            tasks.create_task(self.library.run())

    def _make_sync(self, settings: RelaySettings, data: Path) -> Sync:
        """What brings recordings here from the parents and siblings that are set."""
        asked = settings.sync
        limits = Limits(
            spans_of(asked.windows), asked.rate_kbps * 125, round(asked.daily_mb * 1_000_000)
        )
        sync = Sync(
            self.cache,
            self.archives,
            data / "sync.sqlite",
            settings.parents,
            Rules(limits, asked.metered, asked.siblings),
            self._token,
            self._is_taught,
        )
        known: set[str] = set()

        def changed(lesson: str) -> None:
            # Of every lesson that this relay is told of, its school may be a part.
            if lesson not in known and self.lessons.is_known(lesson):
                known.add(lesson)
                sync.meant((lesson,))
            sync.lessons_changed()

        self.lessons.observe(changed)
        sync.queue.on_lists = self.lessons.late.take
        sync.meant(info.id for info in self.lessons.all())
        return sync

    def _is_taught(self) -> bool:
        """Whether a lesson runs that comes here over the link to the parent, or is about to."""
        return any(
            info.publishing or (info.state is LessonState.LIVE and info.rooms)
            for info in self.lessons.all()
        )

    def _is_offered(self, lesson: str) -> bool:
        """Whether what is here of the lesson is whole and as its root has it; for any thread."""
        held = self.cache.holding(lesson)
        return not self._settings.parents or (held is not None and held.settled)

    async def _record(self) -> None:
        path = str(self._run_directory / FEED_SOCKET)
        while True:
            try:
                reader, writer = await asyncio.open_unix_connection(path)
            except OSError:
                await asyncio.sleep(0.1)
                continue
            self._recorder_connected = True
            try:
                await self.recorder.run(reader, writer)
            except (ConnectionError, Refused) as error:
                _log.warning("recorder-feed-ended", extra={"reason": str(error)})
            finally:
                self._recorder_connected = False
                writer.close()
            await asyncio.sleep(0.1)

    async def _watch_recordings(self) -> None:
        """A lesson that is taught and not recorded is told to its teacher."""
        watch = RecordingWatch()
        while True:
            await asyncio.sleep(1.0)
            taught = {
                info.id: info.recording.seconds for info in self.lessons.all() if info.publishing
            }
            for lesson in watch.check(monotonic(), self._recorder_connected, taught):
                self.recorder.miss(lesson)

    def _is_live(self, lesson: str) -> bool:
        """Whether the lesson runs, or is being recorded here still; for any thread."""
        info = self.lessons.info(lesson)
        running = info is not None and (info.publishing or info.state is LessonState.LIVE)
        return running or self.recorder.state(lesson).state in ("recording", "failing")

    async def _tend_cache(self) -> None:
        """Quota, free space, the timetable, and what is remembered of recordings."""
        while True:
            self.cache.timetable(
                {info.id: info.planned_at or info.started_at or 0.0 for info in self.lessons.all()}
            )
            await asyncio.to_thread(self.cache.tend)
            await asyncio.sleep(_TEND_SECONDS)

    async def _watch_rooms(self) -> None:
        """Forget rooms that left; ask for another voice when many of them are poor."""
        wishes = Wishes()
        while True:
            await asyncio.sleep(1.0)
            self.rungs.expire()
            rooms = {lesson: self.rungs.states(lesson) for lesson in self.rungs.lessons()}
            votes = {lesson: self.children.wishes(lesson) for lesson in self.children.lessons()}
            self.central.wishes = wishes.update(rooms, self.lessons.is_known, monotonic(), votes)

    def _token(self) -> str:
        """What this relay shows whoever is above it."""
        return self.enrolment.token

    def _step(self) -> RelayStep:
        """This relay in the tree; without a token it has only its name."""
        name = self.enrolment.name
        return RelayStep(self.enrolment.id or name, name)

    def _is_busy(self) -> bool:
        """Whether rooms watch what comes from the parent."""
        return any(info.publishing and info.rooms for info in self.lessons.all())

    def _notice(self, name: str, parameters: dict[str, object]) -> None:
        if name == "lesson":
            self.lessons.media(parameters)
        elif name == "derive":
            self.worker.start()
        elif name in ("trunk", "trunk-tracks"):
            self.trunks.notice(name, parameters)
        elif name == "rung":
            self.rungs.receive(parameters)

    def _media_connected(self) -> None:
        self.media_up.set()
        self.trunks.media_lost()
        self.rates.media_connected()
        self.lessons.media_lost()
        self.rungs.lost()
        self._ends_due.set()

    async def _lesson_ended(self, lesson: str) -> None:
        """The control plane ended it: everyone's session ends and the archive is finished."""
        try:
            await self.media.call("end_lesson", lesson=lesson)
            self._ends.discard(lesson)
        except Absent:
            self._ends.add(lesson)
        except Refused as error:
            # Logged where it happened; asking again would meet the same bug.
            _log.error("lesson-not-ended", extra={"lesson": lesson, "reason": error.detail})
            self._ends.discard(lesson)

    async def _end_again(self) -> None:
        """What ended while the media process was away is ended when it is back."""
        while True:
            await self._ends_due.wait()
            self._ends_due.clear()
            for lesson in list(self._ends):
                await self._lesson_ended(lesson)

    async def _put_behind(self, wish: CatchUp, subject: str) -> None:
        """A room watches the recording, or live again. Raises Refused or Absent."""
        await self.media.call(
            "behind",
            lesson=wish.lesson,
            session=wish.session,
            subject=subject,
            reason=wish.reason or "",
        )

    def _recording(self, lesson: str, state: RecordingState) -> None:
        self.lessons.recording(lesson, state.state, state.detail, state.seconds)
        if state.state == "finished" and self._settings.parents:
            # It is an archive once what is lacking has come, and the root's manifest with it.
            self.cache.used(lesson)
        elif state.state == "finished":
            try:
                manifest = Manifest.decode((self.archives / lesson / "manifest.json").read_bytes())
            except (OSError, Refused) as error:
                _log.error("finished-archive-unreadable", extra={"reason": str(error)})
                return
            self.replay.finished(lesson)
            # It was watched here just now, and is what is replayed next.
            self.cache.used(lesson)
            self.central.archive_finished(
                RelayArchive(
                    lesson,
                    manifest.duration_ms / 1000,
                    manifest.size,
                    tuple(rendition.name for rendition in manifest.renditions),
                )
            )
