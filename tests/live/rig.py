"""Real processes and real browsers for the live tests, and what can be asked of them.

Lives here: `Demo` (the whole system as a child process), starting Chromium with a camera and a
microphone, and reading a page: statistics, frame numbers from a <video>, sound as samples. Must
not live here: assertions about lessons, recordings (`tests.media`).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import signal
import sys
import uuid
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from playwright.async_api import Browser, Page, Playwright

from classroom.host import marker
from tests import media, needs

READY_S: Final = 60.0  # a cold start on two busy cores
STOP_S: Final = 20.0
RUN_VARIABLE: Final = "CLASSROOM_TEST_RUN"  # marks every process that descends from a demo
CHROMIUM_ARGUMENTS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Tabs beside the one in front must go on decoding and timing as a projector's would.
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
)
AUTOPLAY_ARGUMENT: Final = "--autoplay-policy=no-user-gesture-required"
TEACHER_ARGUMENTS: Final = (
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream=display-media-type=monitor",
)


class DemoFailed(AssertionError):
    """The demo did not start, or did not stop, as it should; carries the end of its log."""


@dataclass(slots=True)
class Demo:
    """`classroom demo --json` running. Addresses and tokens are as its JSON line gave them."""

    central: str
    relay: str
    lesson: str
    pages: dict[str, str]
    whip: str
    whep: str
    tokens: dict[str, str]
    data: Path
    log: Path
    _process: asyncio.subprocess.Process
    _run: str

    def processes(self) -> dict[int, str]:
        """Every living process of this demo: its id and command line."""
        return marked_processes(self._run)

    def kill(self, *words: str) -> int:
        """kill -9 the one process whose command line has all `words`; returns its id."""
        found = [
            pid for pid, line in self.processes().items() if all(word in line for word in words)
        ]
        if len(found) != 1:
            raise AssertionError(f"{words} name {len(found)} of {self.processes()}")
        os.kill(found[0], signal.SIGKILL)
        return found[0]

    async def stop(self) -> None:
        """Ctrl-C; raises DemoFailed if it does not end well or leaves a process behind."""
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGINT)
        try:
            async with asyncio.timeout(STOP_S):
                code = await self._process.wait()
        except TimeoutError:
            left = self.processes()
            await self.end_all()
            raise DemoFailed(f"did not stop: {left}\n{self.tail()}") from None
        left = self.processes()
        if left:
            await self.end_all()
            raise DemoFailed(f"left processes behind: {left}\n{self.tail()}")
        if code != 0:
            raise DemoFailed(f"ended with {code}\n{self.tail()}")

    def tail(self) -> str:
        """The end of the log."""
        return self.log.read_text(errors="replace")[-4000:]

    async def end_all(self) -> None:
        """kill -9 everything that is left of this demo, as a power cut would."""
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await self._process.wait()


async def start_demo(
    data: Path, *arguments: str, host: bool = False, enter: Sequence[str] = ()
) -> Demo:
    """Start the whole system with its things in `data`; returns when everything answers.

    The folder above `data` must exist; the log is written there. enter: what to put before the
    command (see `tests.live.networks`).
    """
    log = data.parent / f"{data.name}.log"
    run = uuid.uuid4().hex
    command = [*enter, sys.executable, "-m", "classroom", "demo", "--json", "--port", "0"]
    command += ["--udp-port", "0", "--data", str(data), *arguments]
    if not host:
        command.append("--no-host")
    with log.open("ab") as errors:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            env=os.environ | {RUN_VARIABLE: run, "PYTHONUNBUFFERED": "1"},
            start_new_session=True,  # a Ctrl-C at the test run must not reach it
        )
    assert process.stdout is not None
    line = b""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(READY_S):
            line = await process.stdout.readline()
    if not line:
        for pid in marked_processes(run):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await process.wait()
        raise DemoFailed(f"printed nothing\n{log.read_text(errors='replace')[-4000:]}")
    ready = json.loads(line)
    return Demo(
        ready["central"],
        ready["relay"],
        ready["lesson"],
        ready["pages"],
        ready["whip"],
        ready["whep"],
        ready["tokens"],
        data,
        log,
        process,
        run,
    )


def marked_processes(run: str) -> dict[int, str]:
    """Living processes that inherited the mark `run`, with their command lines."""
    found = {}
    mark = f"{RUN_VARIABLE}={run}".encode()
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        # A process may end while we look, and others' may not be looked at.
        with contextlib.suppress(OSError):
            if mark in (folder / "environ").read_bytes().split(b"\0"):
                line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
                if line:
                    found[int(folder.name)] = line
    return found


@contextlib.asynccontextmanager
async def chromium(
    playwright: Playwright,
    *,
    teacher: bool = False,
    autoplay: bool = True,
    arguments: Iterable[str] = (),
    program: str | None = None,
) -> AsyncIterator[Browser]:
    """A headless Chromium; as a teacher's it has the test footage and speech as its devices.

    autoplay: whether pages may play sound before anything was pressed, as a room's kiosk is set
    up; without it the browser decides as everywhere. program: what starts Chromium instead of its
    own command.
    """
    program = program or needs.find(needs.CHROMIUM)
    if program is None:
        raise FileNotFoundError("Chromium is missing; python -m tests says how to get it.")
    wanted = [*CHROMIUM_ARGUMENTS, *arguments]
    if autoplay:
        wanted.append(AUTOPLAY_ARGUMENT)
    if teacher:
        wanted += [
            *TEACHER_ARGUMENTS,
            f"--use-file-for-fake-video-capture={media.camera_file()}",
            f"--use-file-for-fake-audio-capture={media.voice_file()}",
        ]
    browser = await playwright.chromium.launch(executable_path=program, args=wanted)
    try:
        yield browser
    finally:
        await browser.close()


async def stats(page: Page, kind: str) -> list[dict[str, Any]]:
    """All entries of type `kind` ("inbound-rtp", …) of the page's peer connection."""
    found: list[dict[str, Any]] = await page.evaluate(
        """async (kind) => {
            const peer = window.classroom?.peer
            if (!peer) return []
            return [...(await peer.getStats()).values()].filter((entry) => entry.type === kind)
        }""",
        kind,
    )
    return found


async def state(page: Page) -> dict[str, Any]:
    """The named states that a page shows to tests, e.g. {"session": "live"}."""
    found: dict[str, Any] = await page.evaluate("() => ({...window.classroom?.state})")
    return found


async def until(page: Page, patience: float = 30.0, **wanted: Any) -> None:
    """Wait until the page's named states are as `wanted`; `patience` in seconds.

    Asked from outside, because the pages' content policy forbids Playwright's own way of waiting.
    """
    seen: dict[str, Any] = {}
    try:
        async with asyncio.timeout(patience):
            while True:
                seen = await state(page)
                if all(seen.get(name) == value for name, value in wanted.items()):
                    return
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"{page.url} never came to {wanted}; it is at {seen}") from None


@dataclass(frozen=True, slots=True)
class Shown:
    """One picture that a <video> presented.

    at: page time in seconds; number: from the strip, None if it cannot be read; size in pixels.
    """

    at: float
    number: int | None
    size: tuple[int, int]


async def watch(page: Page, selector: str, seconds: float) -> list[Shown]:
    """Every picture that the <video> at `selector` presents within `seconds`."""
    rows: list[tuple[float, int, int, list[float]]] = await page.evaluate(
        """async ([selector, seconds, cells, share]) => {
            const video = document.querySelector(selector)
            if (!video) throw new Error(`no ${selector}`)
            const canvas = document.createElement('canvas')
            const context = canvas.getContext('2d', {willReadFrequently: true})
            const seen = []
            const look = (now) => {
                const [width, height] = [video.videoWidth, video.videoHeight]
                const strip = Math.max(2, Math.floor(height / share / 2) * 2)
                canvas.width = width
                canvas.height = 1
                const line = height - strip / 2 - 1
                context.drawImage(video, 0, line, width, 1, 0, 0, width, 1)
                const data = context.getImageData(0, 0, width, 1).data
                const means = []
                for (let cell = 0; cell < cells; cell++) {
                    const [left, right] = [cell * width / cells, (cell + 1) * width / cells]
                    const quarter = (right - left) / 4
                    const first = Math.ceil(left + quarter)
                    const last = Math.max(Math.floor(right - quarter), first + 1)
                    let sum = 0
                    for (let x = first; x < last; x++) sum += data[4 * x + 1]
                    means.push(sum / (last - first))
                }
                seen.push([now / 1000, width, height, means])
            }
            let going = true
            const step = (now) => {
                if (!going) return
                look(now)
                video.requestVideoFrameCallback(step)
            }
            video.requestVideoFrameCallback(step)
            await new Promise((resolve) => setTimeout(resolve, seconds * 1000))
            going = false
            return seen
        }""",
        [selector, seconds, marker.CELLS, marker.STRIP_SHARE],
    )
    return [
        Shown(at, marker.read_cells(cells), (int(width), int(height)))
        for at, width, height, cells in rows
    ]


async def hear(page: Page, selector: str, seconds: float) -> media.Samples:
    """What the media element at `selector` plays for `seconds`: mono, 48 kHz, -1 to 1."""
    encoded: str = await page.evaluate(
        """async ([selector, seconds]) => {
            const element = document.querySelector(selector)
            if (!element) throw new Error(`no ${selector}`)
            const stream = element.srcObject ?? element.captureStream()
            const context = new AudioContext({sampleRate: 48000})
            await context.resume()
            const source = context.createMediaStreamSource(stream)
            const tap = context.createScriptProcessor(4096, 1, 1)
            const wanted = Math.round(seconds * 48000)
            const samples = new Int16Array(wanted)
            let have = 0
            await new Promise((resolve) => {
                tap.onaudioprocess = (event) => {
                    for (const value of event.inputBuffer.getChannelData(0)) {
                        if (have >= wanted) return resolve()
                        samples[have++] = Math.max(-1, Math.min(1, value)) * 32767
                    }
                }
                source.connect(tap)
                tap.connect(context.destination)
            })
            source.disconnect()
            await context.close()
            const bytes = new Uint8Array(samples.buffer)
            let text = ''
            for (let at = 0; at < bytes.length; at += 32768)
                text += String.fromCharCode(...bytes.subarray(at, at + 32768))
            return btoa(text)
        }""",
        [selector, seconds],
    )
    data = np.frombuffer(base64.b64decode(encoded), np.int16)
    return (data / 32768).astype(np.float32)
