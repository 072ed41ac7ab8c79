"""Frames to the transcoding worker and back; the worker is started when the first frame needs it.

Here: one process, a bounded queue, and going on after its death. Not here: codecs (that is
`transcode_worker`), what is recorded. The process is this package's own module under the same
Python. If it dies, hangs or falls behind, the pictures wait for the next keyframe, the journal says
so, and the voice is not touched.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections import deque
from typing import Final

import msgpack

from relay.record.transcoded import Job, TranscodedPipeline
from relay.record.worker_wire import LENGTH

_log: Final = logging.getLogger("relay.recorder")

MAX_QUEUE: Final = 600  # frames under way: 20 s of one source; three layers share it
ANSWER_WITHIN: Final = 15.0
"""s. A frame takes milliseconds; a busy machine may take seconds to start the process."""
RESTART_AFTER: Final = 1.0  # s, so that a worker that dies at once does not take the processor


class Transcoder:
    """Submit jobs from the event loop; each pipeline gets its answers in order."""

    def __init__(self) -> None:
        self._queue: deque[tuple[TranscodedPipeline, Job]] = deque()
        self._served: dict[TranscodedPipeline, None] = {}
        """Those whose decoders the worker holds."""
        self._wake = asyncio.Event()
        self._sent = 0
        self._deadline = asyncio.timeout(None)
        """When the worker is given up: while it has frames, some time after its last answer."""
        self.patience = ANSWER_WITHIN
        """Seconds."""
        self.process: asyncio.subprocess.Process | None = None
        """The worker, None until it is needed."""

    @property
    def is_busy(self) -> bool:
        """Whether frames wait for an answer."""
        return bool(self._queue)

    def submit(self, pipeline: TranscodedPipeline, job: Job) -> None:
        """Queue a frame; a full queue is emptied and its pipelines go on at a keyframe."""
        if pipeline not in self._served:
            self._served = {one: None for one in (*self._served, pipeline) if not one.ended}
        self._queue.append((pipeline, job))
        self._wake.set()
        if len(self._queue) > MAX_QUEUE:
            self._lose(pipeline, "the transcoder falls behind: pictures wait for a keyframe")

    async def run(self) -> None:
        """Serve until cancelled; restarts the worker when it dies."""
        try:
            while True:
                self._wake.clear()
                if not self._queue:
                    await self._wake.wait()
                try:
                    await self._serve()
                except* TimeoutError:
                    _log.error("transcoder-hangs")
                    self._lose_all("the transcoder hung: pictures wait for a keyframe")
                except* (OSError, EOFError):
                    self._lose_all("the transcoder died: pictures wait for a keyframe")
                await self._stop()
                await asyncio.sleep(RESTART_AFTER)
        finally:
            self._lose_all("the recorder stopped: pictures wait for a keyframe")
            await self._stop()

    async def _serve(self) -> None:
        process = self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "relay.record.transcode_worker",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        self._sent = 0
        self._deadline = asyncio.timeout(None)
        async with self._deadline, asyncio.TaskGroup() as group:
            group.create_task(self._write(process))
            group.create_task(self._read(process))

    def _wait_anew(self) -> None:
        """The worker answered, or got the first frame after it had answered them all."""
        when = asyncio.get_running_loop().time() + self.patience if self._sent else None
        self._deadline.reschedule(when)

    async def _write(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None, "asked for"
        while True:
            self._wake.clear()
            while self._sent < len(self._queue):
                _, job = self._queue[self._sent]
                self._sent += 1
                if self._sent == 1:
                    self._wait_anew()
                body = msgpack.packb([job.stream, job.key, job.encode, job.time, job.data])
                process.stdin.write(LENGTH.pack(len(body)) + body)
                await process.stdin.drain()
            await self._wake.wait()

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None, "asked for"
        while True:
            (size,) = LENGTH.unpack(await process.stdout.readexactly(LENGTH.size))
            answer = await process.stdout.readexactly(size)
            pipeline, job = self._queue.popleft()
            self._sent -= 1
            self._wait_anew()
            try:
                pipeline.receive(job, answer)
            except Exception as error:
                # One lesson's pictures must not end the recording of the others.
                _log.error("transcoded picture not recorded", exc_info=error)
                pipeline.lose("an internal error: pictures wait for a keyframe")

    def _lose(self, pipeline: TranscodedPipeline, reason: str) -> None:
        """Forget what of this pipeline the worker was not given yet."""
        sent = list(self._queue)[: self._sent]
        rest = [entry for entry in list(self._queue)[self._sent :] if entry[0] is not pipeline]
        self._queue = deque(sent + rest)
        pipeline.lose(reason)

    def _lose_all(self, reason: str) -> None:
        served = self._served
        self._served = {}
        self._queue.clear()
        self._sent = 0
        for pipeline in served:
            if not pipeline.ended:
                pipeline.lose(reason)

    async def _stop(self) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        if process.returncode is None:
            process.kill()
        if process.stdin is not None:
            process.stdin.close()
        await process.wait()
