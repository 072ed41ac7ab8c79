"""What the tests need on the machine beside Python, and how it gets there.

Lives here: the list of programs (Chromium, redis-server, ip, ffmpeg, node) and one function that
finds them, installs the missing ones with apt-get where that may be done (root on Debian), and
otherwise says in plain words what to install. Must not live here: running tests, or fixtures.

Node is asked for but never installed: Debian 12's own is too old for the web client's tools.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

NODE_MIN: Final = (20, 19)  # what Vite needs: it loads ES modules through require


@dataclass(frozen=True, slots=True)
class Program:
    """One program that tests start.

    names: commands that will do, best first; any one found on PATH is enough.
    package: Debian package that brings it, or None where Debian's is no use.
    why: what the tests do with it, for the person asked to install it.
    """

    names: tuple[str, ...]
    package: str | None
    why: str


CHROMIUM: Final = Program(
    ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome"),
    "chromium",
    "plays teacher and rooms in the live tests",
)
REDIS: Final = Program(("redis-server",), "redis-server", "the shared live state is tested on it")
IP: Final = Program(("ip",), "iproute2", "builds network namespaces for weak links")
FFMPEG: Final = Program(("ffmpeg",), "ffmpeg", "an independent reader of what we record")
APLAY: Final = Program(("aplay",), "alsa-utils", "its spoken words are the teacher's voice")
NODE: Final = Program(("node",), None, "the web client needs Node.js 20.19 or newer")
NPM: Final = Program(("npm",), None, "builds and tests the web client; it comes with Node.js")

PROGRAMS: Final = (CHROMIUM, REDIS, IP, FFMPEG, APLAY, NODE, NPM)


def find(program: Program) -> str | None:
    """Path of the first command of `program` on PATH (and the sbin folders), or None."""
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin"))
    for name in program.names:
        found = shutil.which(name, path=path)
        if found is not None:
            return found
    return None


def missing(programs: Sequence[Program] = PROGRAMS) -> list[Program]:
    """Those of `programs` that this machine lacks, an outdated Node counted as lacking."""
    lacking = [program for program in programs if find(program) is None]
    node = find(NODE)
    if NODE in programs and node is not None and _version(node) < NODE_MIN:
        lacking.append(NODE)
    return lacking


def provide() -> list[str]:
    """Make sure everything is there; returns sentences about what still is not (empty: all well).

    Installs Debian packages only as root and only where apt-get exists.
    """
    lacking = missing()
    packages = [program.package for program in lacking if program.package is not None]
    if packages and os.geteuid() == 0 and shutil.which("apt-get"):
        print(f"Installing with apt-get: {' '.join(packages)}", flush=True)
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *packages]
        for command in (["apt-get", "update", "-q"], install):
            # A failure shows in what is still missing below, with apt-get's words above it.
            subprocess.run(command, check=False, env=environment)
        lacking = missing()
    return [_advice(program) for program in lacking]


def _advice(program: Program) -> str:
    if program.package is None:
        return f"{program.names[0]} is missing or too old: {program.why}. See nodejs.org."
    return (
        f"{program.names[0]} is missing: {program.why}. "
        f"On Debian: sudo apt-get install {program.package}"
    )


def _version(node: str) -> tuple[int, int]:
    shown = subprocess.run([node, "--version"], check=False, capture_output=True, text=True)
    match = re.match(r"v(\d+)\.(\d+)", shown.stdout)
    return (int(match[1]), int(match[2])) if match else (0, 0)
