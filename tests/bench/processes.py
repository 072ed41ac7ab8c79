"""CPU time and memory of other processes, from /proc, to the nanosecond and the kilobyte."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final


def cpu_seconds(pid: int) -> float:
    """Seconds on a processor of all threads that `pid` has now (proc_pid_schedstat)."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def resident_mib(pid: int) -> float:
    """Resident set in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise ProcessLookupError(pid)


def find(processes: dict[int, str], *words: str) -> int:
    """The one process whose command line has all `words`."""
    found = [pid for pid, line in processes.items() if all(word in line.split() for word in words)]
    if len(found) != 1:
        raise ProcessLookupError(f"{words}: {found}")
    return found[0]


def tree(mark: str) -> list[int]:
    """The process whose command line has `mark`, and all that descend from it."""
    parents: dict[int, int] = {}
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        # A process may end while we look.
        with contextlib.suppress(OSError):
            pid = int(folder.name)
            # The fields after the name, which may hold blanks: state, parent (proc_pid_stat).
            parents[pid] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if mark.encode() in (folder / "cmdline").read_bytes().split(b"\0"):
                found.append(pid)
    all_of_it = found[:1]
    for pid in all_of_it:
        all_of_it += [child for child, parent in parents.items() if parent == pid]
    return all_of_it


def tree_seconds(mark: str) -> float:
    """Processor seconds so far of everything in `tree(mark)`."""
    total = 0.0
    for pid in tree(mark):
        # A process may end while we look.
        with contextlib.suppress(OSError):
            total += cpu_seconds(pid)
    return total


# One processor: busy for so long, then so long not.
_NEIGHBOUR: Final = """
import os, sys, time
os.sched_setaffinity(0, {int(sys.argv[1])})
while True:
    until = time.monotonic() + 0.06
    while time.monotonic() < until:
        pass
    time.sleep(0.2)
"""


@contextlib.contextmanager
def noisy_neighbours(processors: Iterable[int]) -> Iterator[None]:
    """Each of `processors` is taken by others for 60 ms in each 260 ms, as on a shared machine."""
    neighbours = [
        subprocess.Popen([sys.executable, "-c", _NEIGHBOUR, str(processor)])
        for processor in processors
    ]
    try:
        yield
    finally:
        for neighbour in neighbours:
            neighbour.kill()
            neighbour.wait()


def put_first(pids: Iterable[int]) -> None:
    """Let processes have the processor before those of other sessions, where we may (root).

    Linux shares it between sessions first and between processes then (autogroups, sched(7)), and a
    browser sets the nice values of its own.
    """
    for pid in pids:
        with contextlib.suppress(OSError):
            Path(f"/proc/{pid}/autogroup").write_text("-20")


@contextlib.contextmanager
def keep_apart(measured: int) -> Iterator[None]:
    """This process has the last processor for its own and `measured` the others, if there are any.

    A load that shares a processor with what it measures takes turns with it on every packet.
    """
    everything = os.sched_getaffinity(0)
    *others, last = sorted(everything)
    if others:
        os.sched_setaffinity(0, {last})
        os.sched_setaffinity(measured, set(others))
    try:
        yield
    finally:
        os.sched_setaffinity(0, everything)
