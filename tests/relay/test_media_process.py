"""The media process by itself: one lesson's bug is not another lesson's, and what it is told."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from classroom.errors import Refused
from relay.media_process import MediaProcess
from relay.settings import MediaSettings
from tests.relay.offers import OFFERS, ROOM, TEACHER


async def test_a_lesson_whose_timer_fails_does_not_stop_the_clock_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    process = MediaProcess(MediaSettings(udp_host="127.0.0.1", udp_port=0), tmp_path, sock)
    running = asyncio.create_task(process.run())
    await asyncio.sleep(0.05)
    for lesson in ("broken", "sound"):
        offer = {"lesson": lesson, "subject": "ms-lan", "text": OFFERS[TEACHER]}
        await process._answer("publish", offer)
    broken, sound = process._sessions.routers.values()
    ticks: list[float] = []
    honest = sound.handle_timer

    def fail(now: float) -> None:
        raise ZeroDivisionError

    def tick(now: float) -> None:
        ticks.append(now)
        honest(now)

    monkeypatch.setattr(broken, "handle_timer", fail)
    monkeypatch.setattr(broken, "flush", fail)
    monkeypatch.setattr(sound, "handle_timer", tick)
    broken.touched = sound.touched = True
    process._after_batch(0.0)
    for _ in range(300):
        if len(ticks) > 1:
            break
        await asyncio.sleep(0.01)
    assert len(ticks) > 1
    assert process.statistics()["faults"] >= 2
    told = [record for record in caplog.records if record.message == "lesson-failed"]
    assert [record.__dict__["lesson"] for record in told] == ["broken"]
    monkeypatch.undo()
    running.cancel()
    await asyncio.wait((running,))


async def test_only_its_owner_puts_a_session_behind(tmp_path: Path) -> None:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    process = MediaProcess(MediaSettings(udp_host="127.0.0.1", udp_port=0), tmp_path, sock)
    running = asyncio.create_task(process.run())
    await asyncio.sleep(0.05)
    offer = {"lesson": "toan-8", "subject": "room-1", "text": OFFERS[ROOM]}
    session = (await process._answer("watch", offer))["session"]
    peer = process._sessions.peers[session]
    wish = {"lesson": "toan-8", "session": session, "reason": "missed"}
    with pytest.raises(Refused) as refused:
        await process._answer("behind", {**wish, "subject": "room-2"})
    assert refused.value.code == "not-your-session"
    assert peer.behind == ""
    await process._answer("behind", {**wish, "subject": "room-1"})
    assert peer.behind == "missed"
    await process._answer("behind", {**wish, "subject": "room-1", "reason": ""})
    assert peer.behind == ""
    running.cancel()
    await asyncio.wait((running,))
