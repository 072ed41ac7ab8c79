"""Builds the pages into `client_web/dist` whenever the Python package is built or installed.

Lives here: the Hatch build hook, and the decision whether a build is needed. What must not:
anything that runs after installation. The hook runs for wheels and for editable installs; source
distributions carry the sources only. Only the standard library and Hatchling are imported, since
it runs in the isolated build environment.

A build is skipped when `dist` was made from the very sources that are there now, and is as it was
made: the digests of both are kept beside the built files, so neither a fresh checkout's file times
nor a copied tree misleads it. `npm ci` is skipped likewise while `node_modules` was installed from
the present lock file.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# Vite's bundler needs this release of Node 20 (it loads ES modules through require).
NODE_MINIMUM: Final = (20, 19)
PAGES: Final = (
    "index.html",
    "teach.html",
    "room.html",
    "library.html",
    "status.html",
    "norelay.html",
)
SOURCE_FILES: Final = (
    *PAGES,
    "package.json",
    "package-lock.json",
    "tsconfig.json",
    "tsconfig.worker.json",
)
SOURCE_FOLDERS: Final = ("src", "public")
STAMP: Final = "sources.sha256"
LOCK_STAMP: Final = ".installed-lock.sha256"


class BuildFailed(Exception):
    """The pages cannot be built; the message is a plain sentence that says what to do."""


class PagesHook(BuildHookInterface[BuilderConfig]):
    """Runs `build_pages` before a wheel or an editable install is put together."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by Hatchling; `version` is "standard" or "editable"."""
        if self.target_name != "wheel":
            return
        try:
            build_pages(Path(self.root) / "client_web", self.app.display_info)
        except BuildFailed as failure:
            self.app.abort(str(failure))


def build_pages(folder: Path, say: Callable[[str], None]) -> bool:
    """Make `folder/dist` match the sources in `folder`; True if a build was run.

    `say` is called with one line per step. Raises `BuildFailed`.
    """
    digest = source_digest(folder)
    if is_built(folder / "dist", digest):
        return False
    check_node()
    lock = file_digest(folder / "package-lock.json")
    lock_stamp = folder / "node_modules" / LOCK_STAMP
    if read_stamp(lock_stamp) != lock:
        say("Installing what the pages are built with (npm ci)")
        run(folder, "npm", "ci", "--no-audit", "--no-fund")
        lock_stamp.write_text(lock, encoding="ascii")
    say("Building the pages (npm run build)")
    run(folder, "npm", "run", "build")
    dist = folder / "dist"
    (dist / STAMP).write_text(stamp_of(dist, digest), encoding="ascii")
    return True


def source_digest(folder: Path) -> str:
    """SHA-256 over names and contents of everything that `dist` is made from."""
    files = [folder / name for name in SOURCE_FILES]
    files += folder.glob("*.config.ts")
    for name in SOURCE_FOLDERS:
        files += (path for path in (folder / name).rglob("*") if path.is_file())
    return digest_of(folder, files)


def stamp_of(dist: Path, digest: str) -> str:
    """What is kept in `dist`: the digest of the sources, and that of everything made from them."""
    built = (path for path in dist.rglob("*") if path.is_file() and path != dist / STAMP)
    return f"{digest}\n{digest_of(dist, built)}\n"


def digest_of(folder: Path, files: Iterable[Path]) -> str:
    """SHA-256 over names, as seen from `folder`, and contents of `files`."""
    whole = hashlib.sha256()
    for path in sorted(files):
        whole.update(path.relative_to(folder).as_posix().encode())
        whole.update(b"\0" + file_digest(path).encode() + b"\n")
    return whole.hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of one file in hex. Raises `BuildFailed` when it is missing."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        raise BuildFailed(
            f"The pages cannot be built: {path} is missing. Take a complete copy of the project."
        ) from None


def read_stamp(path: Path) -> str | None:
    """The digest kept in `path`, or None when nothing was built or installed yet."""
    try:
        return path.read_text(encoding="ascii")
    except FileNotFoundError:
        return None


def is_built(dist: Path, digest: str) -> bool:
    """Whether `dist` holds what was made from the sources with this digest, and nothing else."""
    stamp = read_stamp(dist / STAMP)
    return stamp is not None and stamp == stamp_of(dist, digest)


def check_node() -> None:
    """Raises `BuildFailed` unless Node is new enough and npm is there."""
    wanted = "Node {}.{} or newer, with npm".format(*NODE_MINIMUM)
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            raise BuildFailed(
                f"The pages cannot be built: `{program}` was not found. "
                f"Install {wanted}, then install this package again."
            )
    answer = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False)
    found = re.match(r"v(\d+)\.(\d+)", answer.stdout)
    if found is None or (int(found[1]), int(found[2])) < NODE_MINIMUM:
        raise BuildFailed(
            f"The pages cannot be built: this machine has Node {answer.stdout.strip() or '?'}. "
            f"Install {wanted}, then install this package again."
        )


def run(folder: Path, *command: str) -> None:
    """Run one step in `folder`. Raises `BuildFailed` with the end of what the step printed."""
    # The resolved path, because on Windows npm is a .cmd file that a bare name does not find.
    program = shutil.which(command[0]) or command[0]
    done = subprocess.run(
        [program, *command[1:]],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        tail = "\n".join(done.stdout.splitlines()[-40:])
        raise BuildFailed(
            f"The pages cannot be built: `{' '.join(command)}` failed. It printed:\n{tail}"
        )
