"""Trunks between the services of two relays: offers over HTTP, what follows over their lines.

POST /trunk/{lesson}     a child's offer (SDP) → {session, answer, epoch, tracks, recording}

As a child: for each lesson that somebody watches here, a session at the parent that counts now;
begun again, with growing pauses, when it ends, when the parent is another, or when its media is
gone while the line stands (a parent that began anew). A parent that is out of reach is waited for:
the trunk outlives outages by itself. When nobody watches any more it ends after a while. As a
parent: who may take a lesson, and the word about its layers. Must not live here: media
(`relay.transport.trunks`), which parent counts (`upstream`), what is recorded.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
from aiohttp import web

from classroom.clock import monotonic
from classroom.errors import Absent, Refused
from classroom.signalling.caller import retry_delay
from classroom.tokens import Right
from classroom.wire import (
    LessonState,
    Message,
    Source,
    TrunkPlaces,
    TrunkRecording,
    TrunkTracks,
    TrunkWants,
    fields,
    is_lesson_id,
    to_map,
)
from relay.ipc import RpcClient
from relay.record.recorder import Recorder
from relay.web.access import Access
from relay.web.central import CentralLink
from relay.web.children import Children
from relay.web.lessons import KnownLessons
from relay.web.signalling import SDP, offered_text, pack
from relay.web.trunk_words import as_message, as_told
from relay.web.upstream import Upstream

_log: Final = logging.getLogger("relay.service")

# A page that is loaded anew is back sooner, and so is a room that goes to the next lesson.
IDLE_SECONDS: Final = 30.0
# With the line to the parent up and no media path for so long, the parent has forgotten the trunk.
LOST_SECONDS: Final = 6.0
_LOOK_SECONDS: Final = 0.5
_ANSWER_BYTES: Final = 256 * 1024
# In a session's place, and no session's name: a parent's media process began anew.
FORGOTTEN: Final = "-"
# Lessons at once: what a school has rooms for.
_MOST: Final = 32


@dataclass(slots=True)
class _Held:
    """One lesson's trunk as its child knows it. there: the parent's name of the session."""

    wanted_at: float
    task: asyncio.Task[None] | None = None
    session: str = ""
    there: str = ""
    url: str = ""
    state: str = ""
    broken_at: float | None = None
    wants: Mapping[str, Any] = field(default_factory=dict)
    told: TrunkWants | None = None
    over: asyncio.Event = field(default_factory=asyncio.Event)


class Trunks:
    """Both sides. Run `run` in a task; give it the media process's notices."""

    def __init__(
        self,
        access: Access,
        media: RpcClient,
        lessons: KnownLessons,
        upstream: Upstream,
        central: CentralLink,
        children: Children,
        token: Callable[[], str],
        recorder: Recorder,
        *,
        is_child: bool,
    ) -> None:
        """token: what this relay shows its parent. is_child: whether it has one. recorder: knows
        and is told how lessons are recorded."""
        self._access = access
        self._media = media
        self._lessons = lessons
        self._upstream = upstream
        self._central = central
        self._children = children
        self._token = token
        self._recorder = recorder
        self._is_child = is_child
        self._had_line = False
        self._held: dict[str, _Held] = {}
        self._below: dict[str, set[str]] = {}
        """Lesson → children that have it from here."""
        self._given: dict[tuple[str, str], str] = {}
        """Child and lesson → the newest session."""
        self._look = asyncio.Event()
        self._tasks: asyncio.TaskGroup | None = None

    def add_routes(self, app: web.Application) -> None:
        """The route named in the module's docstring."""
        app.router.add_post("/trunk/{lesson}", self._accept)

    def states(self) -> dict[str, str]:
        """Of each lesson that is taken from the parent, how its trunk is: "" before the first
        answer, else connecting, live or broken."""
        return {lesson: held.state for lesson, held in self._held.items()}

    # As a parent

    async def _accept(self, request: web.Request) -> web.Response:
        lesson = request.match_info["lesson"]
        if not is_lesson_id(lesson):
            raise _unknown()
        claims = await self._access.check(request, Right.RELAY, lesson)
        info = self._lessons.info(lesson)
        if info is not None and info.state in (LessonState.ENDED, LessonState.PUBLISHED):
            raise Refused(
                409,
                "lesson-ended",
                "This lesson has ended.",
                fix="Fetch its archive.",
                field="lesson",
            )
        if not self._lessons.is_known(lesson):
            raise _unknown()
        text = await offered_text(request)
        answer = await self._media.call(
            "trunk_accept", lesson=lesson, subject=claims.subject, text=text, wants={}
        )
        self._forget_past()
        self._below.setdefault(lesson, set()).add(claims.subject)
        self._given[claims.subject, lesson] = str(answer["session"])
        recording = self._recording(lesson)
        answer["recording"] = to_map(recording) if recording is not None else None
        response = web.json_response(answer, status=201)
        response.enable_compression()
        return response

    def _forget_past(self) -> None:
        for key in [key for key in self._given if not self._lessons.is_known(key[1])]:
            del self._given[key]
        for lesson in [one for one in self._below if not self._lessons.is_known(one)]:
            del self._below[lesson]

    def expel(self, children: Container[str]) -> None:
        """Give these nothing more: they count no more."""
        for child, lesson in [key for key in self._given if key[0] in children]:
            session = self._given.pop((child, lesson))
            self._below.get(lesson, set()).discard(child)
            if self._tasks is not None:
                self._tasks.create_task(self._end_given(lesson, session, child))

    async def _end_given(self, lesson: str, session: str, child: str) -> None:
        try:
            await self._media.call(
                "delete", lesson=lesson, session=session, role="relay", subject=child
            )
        except (Refused, Absent):
            return  # it has ended by itself

    def _recording(self, lesson: str) -> TrunkRecording | None:
        """What those below are to know of a lesson's recording."""
        told = self._recorder.told(lesson)
        return as_message(lesson, told) if told is not None else None

    def tell_recording(self, lesson: str) -> None:
        """What those below are to know of the lesson's recording has changed."""
        recording = self._recording(lesson)
        if recording is not None:
            for child in self._below.get(lesson, ()):
                self._children.send(child, recording)

    def _hear_child(self, child: str, message: Message) -> None:
        if isinstance(message, TrunkWants) and self._tasks is not None:
            self._tasks.create_task(self._want(child, message))

    async def _want(self, child: str, message: TrunkWants) -> None:
        layers = {str(one.source): list(one.places) for one in message.sources}
        wants = {"layers": layers, "lowest": message.lowest}
        try:
            await self._media.call(
                "trunk_want",
                lesson=message.lesson,
                session=message.session,
                subject=child,
                wants=wants,
            )
        except (Refused, Absent):
            return  # a trunk that has ended: the child begins another one
        # Trunks outlive this process; a child says on each new line what it wants of its own.
        self._below.setdefault(message.lesson, set()).add(child)
        self._given[child, message.lesson] = message.session
        recording = self._recording(message.lesson)
        if recording is not None:
            self._children.send(child, recording)

    # The media process

    def notice(self, name: str, parameters: Mapping[str, Any]) -> None:
        """A notice of the media process about a trunk."""
        if name == "trunk-tracks":
            told = fields.read(TrunkTracks, parameters)
            self._children.send(str(parameters["subject"]), told)
        elif name == "trunk":
            self._note(parameters)

    def media_lost(self) -> None:
        """The media process began anew: no trunk is left, neither upwards nor downwards."""
        for lesson, children in self._below.items():
            for child in children:
                self._children.send(child, TrunkTracks(lesson, FORGOTTEN, 0, ()))
        self._below.clear()
        for held in self._held.values():
            held.session = ""
            held.over.set()

    def _note(self, told: Mapping[str, Any]) -> None:
        held = self._held.get(str(told["lesson"]))
        if held is None or held.session != told["session"]:
            return
        held.state, held.wants = str(told["state"]), told["wants"]
        if held.state == "broken":
            held.broken_at = monotonic() if held.broken_at is None else held.broken_at
        else:
            held.broken_at = None
        if held.state == "ended":
            _log.info("trunk-ends", extra={"lesson": told["lesson"], "reason": told.get("reason")})
            held.session = ""
            held.over.set()
        self._tell_wants(str(told["lesson"]), held)

    # As a child

    async def run(self, http: aiohttp.ClientSession) -> None:
        """Hold a trunk for each lesson that is watched here, until cancelled."""
        self._children.on_message.append(self._hear_child)
        self._central.on_message.append(self._hear_parent)
        forgets = [
            self._lessons.observe(lambda lesson: self._look.set()),
            self._upstream.observe(self._line_changed),
        ]
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                while True:
                    try:
                        async with asyncio.timeout(_LOOK_SECONDS):
                            await self._look.wait()
                    except TimeoutError:
                        pass
                    self._look.clear()
                    if self._is_child:
                        await self._tend(http, tasks)
        finally:
            self._tasks = None
            for forget in forgets:
                forget()

    async def _tend(self, http: aiohttp.ClientSession, tasks: asyncio.TaskGroup) -> None:
        now = monotonic()
        for lesson in self._wanted():
            held = self._held.get(lesson)
            if held is not None:
                held.wanted_at = now
            elif len(self._held) < _MOST:
                held = self._held[lesson] = _Held(now)
                held.task = tasks.create_task(self._keep(http, lesson, held))
        for lesson, held in list(self._held.items()):
            known = self._lessons.is_known(lesson)
            if not known or now - held.wanted_at > IDLE_SECONDS:
                del self._held[lesson]
                await self._let_go(lesson, held, "nobody watches it here")
            elif self._is_lost(held, now):
                held.over.set()

    def _wanted(self) -> list[str]:
        found = []
        for info in self._lessons.all():
            if info.state not in (LessonState.LIVE, LessonState.PLANNED):
                continue
            status = self._lessons.status(info.id)
            if status["rooms"] or status.get("relays"):
                found.append(info.id)
        return found

    def _is_lost(self, held: _Held, now: float) -> bool:
        """Whether the trunk is to be begun anew: the parent is another, or has forgotten it."""
        if not held.session or not self._upstream.connected:
            return False
        if held.url != self._upstream.url:
            return True
        return held.broken_at is not None and now - held.broken_at > LOST_SECONDS

    async def _let_go(self, lesson: str, held: _Held, reason: str) -> None:
        if held.task is not None:
            held.task.cancel()
        if held.session:
            _log.info("trunk-ends", extra={"lesson": lesson, "reason": reason})
            try:
                await self._media.call(
                    "trunk_end", lesson=lesson, session=held.session, reason=reason
                )
            except (Refused, Absent):
                return  # it is gone with the media process

    async def _keep(self, http: aiohttp.ClientSession, lesson: str, held: _Held) -> None:
        """Begin the lesson's trunk again and again, as long as it is held."""
        attempt, said = 0, ""
        while True:
            held.over.clear()
            try:
                await self._begin(http, lesson, held)
                attempt, said = 0, ""
                # What was said meanwhile was said of the one before.
                held.over.clear()
                await held.over.wait()
            except (Refused, Absent, aiohttp.ClientError, TimeoutError, ValueError) as error:
                reason = str(error) or type(error).__name__
                if reason != said:
                    said = reason
                    _log.warning("trunk-refused", extra={"lesson": lesson, "reason": reason})
            # A room waits: the first attempts come soon.
            await asyncio.sleep(min(retry_delay(attempt, random.random()), 0.2 * 2.0**attempt))
            attempt += 1

    async def _begin(self, http: aiohttp.ClientSession, lesson: str, held: _Held) -> None:
        """One offer, its answer, and the trunk in the place of the one before. Raises Refused,
        Absent, aiohttp.ClientError, TimeoutError, ValueError."""
        url = self._upstream.url
        made = await self._media.call("trunk_offer", lesson=lesson)
        headers = {
            "Authorization": f"Bearer {self._token()}",
            "Content-Type": SDP,
            "Content-Encoding": "gzip",
        }
        body = pack(made["offer"].encode())
        async with http.post(f"{url}/trunk/{lesson}", data=body, headers=headers) as response:
            if response.status != 201:
                raise ValueError(f"{url} answered {response.status}")
            raw = b""
            async for piece in response.content.iter_any():
                raw += piece
                if len(raw) > _ANSWER_BYTES:
                    raise ValueError(f"{url} answered with more than {_ANSWER_BYTES} bytes")
        told, tracks = _read_answer(raw, lesson)
        await self._media.call(
            "trunk_answer",
            lesson=lesson,
            session=made["session"],
            parent=url,
            text=told["answer"],
            epoch=tracks.epoch,
            tracks=[to_map(track) for track in tracks.tracks],
            delay_ms=tracks.delay_ms,
        )
        if told.get("recording") is not None:
            self._take_recording(fields.read(TrunkRecording, told["recording"]))
        held.session, held.there, held.url = made["session"], tracks.session, url
        held.state, held.broken_at, held.told = "connecting", None, None
        _log.info("trunk-begins", extra={"lesson": lesson, "parent": url})

    def _take_recording(self, message: TrunkRecording) -> None:
        try:
            self._recorder.tell(message.lesson, as_told(message))
        except Refused as error:
            _log.warning("trunk-word-refused", extra={"reason": str(error)})

    def _hear_parent(self, message: Message) -> None:
        if isinstance(message, TrunkRecording) and self._is_child:
            self._take_recording(message)
        if not isinstance(message, TrunkTracks) or self._tasks is None:
            return
        held = self._held.get(message.lesson)
        if held is not None and held.session and message.session == FORGOTTEN:
            held.over.set()
        elif held is not None and held.session and held.there == message.session:
            self._tasks.create_task(self._tell_media(held.session, message))

    async def _tell_media(self, session: str, message: TrunkTracks) -> None:
        try:
            _require_anchors(message)
            await self._media.call(
                "trunk_tell",
                lesson=message.lesson,
                session=session,
                epoch=message.epoch,
                tracks=[to_map(track) for track in message.tracks],
                delay_ms=message.delay_ms,
            )
        except (Refused, Absent) as error:
            _log.warning("trunk-word-refused", extra={"reason": str(error)})

    def _line_changed(self) -> None:
        """The parent may not have heard what was wanted, and may have changed what it sends."""
        self._look.set()
        had, self._had_line = self._had_line, self._upstream.connected
        if had and not self._had_line and self._is_child:
            self._recorder.lose_parent()
        for lesson, held in self._held.items():
            held.told = None
            self._tell_wants(lesson, held)

    def _tell_wants(self, lesson: str, held: _Held) -> None:
        if not held.session or not held.wants:
            return
        places = tuple(
            TrunkPlaces(Source(source), tuple(wanted))
            for source, wanted in held.wants["layers"].items()
        )
        message = TrunkWants(lesson, held.there, places, held.wants["lowest"])
        if message != held.told and self._central.send(message):
            held.told = message


def _read_answer(raw: bytes, lesson: str) -> tuple[dict[str, Any], TrunkTracks]:
    """What the parent answered. Raises ValueError or Refused when it is nonsense."""
    try:
        told = json.loads(raw)
    except RecursionError as error:
        raise ValueError("the parent's answer is nested too deep") from error
    if not isinstance(told, dict) or not isinstance(told.get("answer"), str):
        raise ValueError("the parent's answer is none")
    tracks: TrunkTracks = fields.read(TrunkTracks, {**told, "lesson": lesson})
    _require_anchors(tracks)
    return told, tracks


def _require_anchors(told: TrunkTracks) -> None:
    if not all(track.anchors for track in told.tracks):
        raise Refused(
            502,
            "trunk-malformed",
            "The parent relay tells of a layer without saying when it was captured.",
            fix="Run relays of one release.",
            field="anchors",
        )


def _unknown() -> Refused:
    return Refused(
        404,
        "lesson-unknown",
        "This relay knows no such lesson.",
        fix="Wait until the lesson is planned or begins; a relay asks again by itself.",
        field="lesson",
    )
