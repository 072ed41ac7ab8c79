"""One step of `python -m tests`: a command, what it says as it comes, and an end in any case.

Lives here: running a step and ending it when it does not end by itself, or leaves processes behind
that hold its output open. Must not live here: which steps there are (`__main__`).
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, TextIO

ROOT: Final = Path(__file__).resolve().parent.parent
# Above the longest step on two busy processors; the whole run has 15 minutes.
STEP_SECONDS: Final = 1200.0
# For a step that was told to end, and for what it leaves behind.
PATIENCE_SECONDS: Final = 10.0
FAILED: Final = 1


@dataclass(frozen=True, slots=True)
class Step:
    """One command; `folder` is where it runs."""

    name: str
    command: Sequence[str]
    folder: Path = ROOT


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a step ended: its exit code, the `seconds` it took, and the last line it printed."""

    step: Step
    code: int
    seconds: float
    last_line: str


def run(
    step: Step, out: TextIO, *, limit: float = STEP_SECONDS, patience: float = PATIENCE_SECONDS
) -> Outcome:
    """Run `step`, writing what it says to `out` as it comes.

    After `limit` seconds it is told to end and say where it stands; `patience` seconds later it is
    killed. What it left behind, if that holds its output, is named and killed, and fails it.
    """
    print(f"\n=== {step.name}: {' '.join(step.command)}", file=out, flush=True)
    began = time.monotonic()
    problems: list[str] = []
    with subprocess.Popen(
        step.command,
        cwd=step.folder,
        # A Python that is told to abort says where each of its threads stands.
        env=os.environ
        | {"PYTHONUNBUFFERED": "1", "PYTHONFAULTHANDLER": "1", "NO_UPDATE_NOTIFIER": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        if process.stdout is None:
            raise AssertionError("Popen was asked for a pipe")
        said = _Said(process.stdout, out)
        try:
            code = process.wait(limit)
        except subprocess.TimeoutExpired:
            code = _end(process, patience)
            problems.append(f"{step.name} did not end within {limit:.0f} s and was stopped")
        said.reader.join(patience)
        if said.reader.is_alive():
            code = code or FAILED
            for number, command in _holders(process.stdout):
                problems.append(f"{step.name} left a process behind: {command}")
                with contextlib.suppress(ProcessLookupError):
                    os.kill(number, signal.SIGKILL)
            said.reader.join()
    for problem in problems:
        print(problem, file=out, flush=True)
    return Outcome(step, code, time.monotonic() - began, [said.last, *problems][-1])


class _Said:
    """What a step says, copied to `out` by a thread."""

    def __init__(self, pipe: IO[str], out: TextIO) -> None:
        self._out = out
        self.last = ""
        self.reader = threading.Thread(target=self._copy, args=(pipe,))
        self.reader.start()

    def _copy(self, pipe: IO[str]) -> None:
        for line in pipe:
            self._out.write(line)
            self._out.flush()
            self.last = line.strip() or self.last


def _end(process: subprocess.Popen[str], patience: float) -> int:
    process.send_signal(signal.SIGABRT)
    try:
        return process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _holders(pipe: IO[str]) -> Iterator[tuple[int, str]]:
    """Number and command of each other process that has `pipe`'s other end."""
    name = f"pipe:[{os.fstat(pipe.fileno()).st_ino}]"
    for folder in Path("/proc").glob("[0-9]*"):
        if int(folder.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):  # ended meanwhile, or another user's
            if any(os.readlink(one) == name for one in (folder / "fd").iterdir()):
                words = (folder / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
                yield int(folder.name), b" ".join(words).decode(errors="replace")
