"""A disk that loses power: what may be left of a directory at every instant of a run.

`Disk.watch` runs code on a real directory and follows every system call that changes it (through
`os`), in a model that knows what was made durable and what was not. After each call it notes what a
power cut there could leave. Four kinds are told apart, from what file systems do:

    kept     everything as the program saw it: a killed process, or a disk that had caught up
    dropped  only what fsync made durable: contents by fsync of the file, names by fsync of the
             directory; a new name whose file was not flushed is an empty file
    hollow   names and sizes as the program saw them, but contents as last flushed and zeros for the
             rest, as file systems that order names before data leave it
    apart    names right below the root only as flushed, and everything further below as the program
             saw it: directories need not reach the disk in the order of the calls

Lives here: the model. Must not live here: what ought to survive. Writes that go past `os` (those of
`io.open`) are not seen; `Disk.check` finds them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

KINDS: Final = ("kept", "dropped", "hollow", "apart")
State = dict[str, bytes | None]
"""Path below the root to content; None for a directory."""


@dataclass(eq=False)
class _File:
    now: bytes = b""
    durable: bytes = b""


@dataclass(eq=False)
class _Directory:
    now: dict[str, _File | _Directory] = field(default_factory=dict)
    durable: dict[str, _File | _Directory] = field(default_factory=dict)


@dataclass(frozen=True)
class Instant:
    """After call number `number`: what a power cut of `kind` leaves. what: the call, for people.
    marks: how many `Disk.mark` were called before."""

    number: int
    kind: str
    what: str
    marks: int
    state: State

    def make(self, root: Path) -> None:
        """Put the state into the directory `root`, which is not there."""
        root.mkdir(parents=True)
        for name, data in self.state.items():
            path = root / name
            if data is None:
                path.mkdir(parents=True, exist_ok=True)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)


class Disk:
    """A directory that is watched. instants: each different state that a power cut may leave."""

    def __init__(self, root: Path) -> None:
        """root: what is in it now counts as durable."""
        self.root = root
        self._top = _read(root)
        self._table: dict[int, tuple[_File | _Directory, bool, int]] = {}
        self.instants: list[Instant] = []
        self._seen: set[tuple[str, int, int]] = set()
        self._marks = 0
        self.calls = 0
        self._note("begin")

    def mark(self) -> None:
        """Something is done: what comes from here on has one mark more."""
        self._marks += 1
        self._note("done")

    def check(self) -> None:
        """The model agrees with the real directory, so no write went past it."""
        assert _flat(self._top, "kept") == _flat(_read(self.root), "kept")

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Follow the calls of what runs inside; nothing else may write below the root then."""
        with pytest.MonkeyPatch.context() as patch:
            for name in ("open", "write", "pwrite", "close", "fsync", "ftruncate", "truncate"):
                self._patch(patch, name)
            for name in ("replace", "rename", "unlink", "remove", "mkdir", "rmdir"):
                self._patch(patch, name)
            yield
        self.check()

    def _patch(self, patch: pytest.MonkeyPatch, name: str) -> None:
        real: Callable[..., Any] = getattr(os, name)
        follow: Callable[..., str] = getattr(self, f"_{name}")

        def call(*args: Any, **keywords: Any) -> Any:
            if name == "close":
                self._table.pop(args[0], None)
            # The model knows what is flushed; the real disk need not be waited for.
            skipped = name == "fsync" and args[0] in self._table
            result = None if skipped else real(*args, **keywords)
            what = follow(result, *args)
            if what:
                self.calls += 1
                self._note(what)
            return result

        patch.setattr(os, name, call)

    def _note(self, what: str) -> None:
        for kind in KINDS:
            state = _flat(self._top, kind)
            key = (kind, hash(frozenset(state.items())), self._marks)
            if key not in self._seen:
                self._seen.add(key)
                self.instants.append(Instant(self.calls, kind, what, self._marks, state))

    def _name(self, path: Any) -> str | None:
        """The path below the root, None for one that is elsewhere."""
        if not isinstance(path, str | os.PathLike):
            return None
        found = os.path.relpath(os.path.abspath(os.fspath(path)), self.root)
        return None if found.startswith("..") else found

    def _parent(self, name: str) -> tuple[_Directory, str]:
        *folders, last = Path(name).parts
        node = self._top
        for folder in folders:
            child = node.now[folder]
            assert isinstance(child, _Directory)
            node = child
        return node, last

    def _node(self, name: str) -> _File | _Directory:
        if name == ".":
            return self._top
        parent, last = self._parent(name)
        return parent.now[last]

    # One method for each call; gives words for what it changed, "" for nothing here.

    def _open(self, result: int, path: Any, flags: int, mode: int = 0o777) -> str:
        name = self._name(path)
        if name is None:
            return ""
        what = ""
        if name != "." and flags & os.O_CREAT:
            parent, last = self._parent(name)
            if last not in parent.now:
                parent.now[last] = _File()
                what = f"create {name}"
        node = self._node(name)
        if isinstance(node, _File) and flags & os.O_TRUNC and node.now:
            node.now = b""
            what = f"truncate {name}"
        self._table[result] = (node, bool(flags & os.O_APPEND), 0)
        return what

    def _opened(self, descriptor: int) -> _File | _Directory | None:
        found = self._table.get(descriptor)
        return found[0] if found is not None else None

    def _write(self, result: int, descriptor: int, data: Any) -> str:
        if descriptor not in self._table:
            return ""
        node, append, at = self._table[descriptor]
        assert isinstance(node, _File)
        taken = bytes(data)[:result]
        at = len(node.now) if append else at
        node.now = node.now[:at] + taken + node.now[at + len(taken) :]
        self._table[descriptor] = (node, append, at + len(taken))
        return f"write {len(taken)} bytes"

    def _pwrite(self, result: int, descriptor: int, data: Any, offset: int) -> str:
        node = self._opened(descriptor)
        if node is None:
            return ""
        assert isinstance(node, _File)
        taken = bytes(data)[:result]
        before = node.now[:offset].ljust(offset, b"\0")
        node.now = before + taken + node.now[offset + len(taken) :]
        return f"write {len(taken)} bytes at {offset}"

    def _close(self, result: None, descriptor: int) -> str:
        return ""

    def _fsync(self, result: None, descriptor: int) -> str:
        match self._opened(descriptor):
            case _File() as file:
                file.durable = file.now
            case _Directory() as directory:
                directory.durable = dict(directory.now)
            case None:
                return ""
        return "fsync"

    def _ftruncate(self, result: None, descriptor: int, size: int) -> str:
        node = self._opened(descriptor)
        if node is None:
            return ""
        assert isinstance(node, _File)
        node.now = node.now[:size].ljust(size, b"\0")
        return "ftruncate"

    def _truncate(self, result: None, path: Any, size: int) -> str:
        raise AssertionError("truncating by name cannot be made durable")

    def _replace(self, result: None, source: Any, target: Any) -> str:
        old, new = self._name(source), self._name(target)
        if old is None or new is None:
            return ""
        parent, last = self._parent(old)
        node = parent.now.pop(last)
        parent, last = self._parent(new)
        parent.now[last] = node
        return f"rename {old} to {new}"

    _rename = _replace

    def _unlink(self, result: None, path: Any) -> str:
        name = self._name(path)
        if name is None:
            return ""
        parent, last = self._parent(name)
        del parent.now[last]
        return f"remove {name}"

    _remove = _rmdir = _unlink

    def _mkdir(self, result: None, path: Any, mode: int = 0o777) -> str:
        name = self._name(path)
        if name is None:
            return ""
        parent, last = self._parent(name)
        parent.now[last] = _Directory()
        return f"mkdir {name}"


def _read(path: Path) -> _Directory:
    """What is on the real disk, all of it durable."""
    found = _Directory()
    for each in sorted(path.iterdir()):
        if each.is_dir():
            found.now[each.name] = _read(each)
        else:
            data = each.read_bytes()
            found.now[each.name] = _File(data, data)
    found.durable = dict(found.now)
    return found


def _flat(directory: _Directory, kind: str, prefix: str = "") -> State:
    state: State = {}
    flushed = kind == "dropped" or (kind == "apart" and not prefix)
    entries = directory.durable if flushed else directory.now
    for name, node in entries.items():
        match node:
            case _Directory():
                state[prefix + name] = None
                state |= _flat(node, kind, f"{prefix}{name}/")
            case _File(now=now, durable=durable):
                if kind in ("kept", "apart"):
                    state[prefix + name] = now
                elif kind == "dropped":
                    state[prefix + name] = durable
                else:
                    state[prefix + name] = durable[: len(now)].ljust(len(now), b"\0")
    return state
