"""Who may import whom: the layout's rules, held against every module of both planes.

The rules are data at the top; `violations` reads a tree of sources and gives a sentence for each
breach, and `cycles` finds rings of imports. The made-up trees below prove that each rule bites.
Imports inside functions and under TYPE_CHECKING count like any other, but that a ring between two
modules of one package may be closed under TYPE_CHECKING.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

TOP_LEVEL = {
    "pyproject.toml",
    "classroom",
    "relay",
    "client_web",
    "config",
    "tests",
    "README.md",
    "LICENSE",
}
# What tools leave behind in a checkout; .gitignore names the same.
LEFTOVERS = {"dist", "build", "__pycache__", "node_modules"}

PURE = (
    "classroom.wire",
    "classroom.archive",
    "classroom.accounts",
    "classroom.lessons",
    "classroom.library",
    "classroom.signalling",
    "relay.media",
    "relay.sfu",
    "relay.record.actions",
    "relay.record.assemble",
    "relay.record.awaited",
    "relay.record.cmaf",
    "relay.record.cmaf_read",
    "relay.record.copies",
    "relay.record.feed",
    "relay.record.fill",
    "relay.record.hls",
    "relay.record.hls_master",
    "relay.record.join",
    "relay.record.lesson",
    "relay.record.opus",
    "relay.record.pipeline",
    "relay.record.recording",
    "relay.record.rendition",
    "relay.record.reorder",
    "relay.record.sample_entries",
    "relay.record.single_file",
    "relay.record.stills",
    "relay.record.told",
    "relay.record.transcoded",
    "relay.record.voice",
    "relay.record.watch",
    "relay.derive.pace",
    "relay.derive.packets",
    "relay.derive.voice_order",
    "relay.derive.wire",
    "relay.cache.held",
    "relay.cache.index",
    "relay.cache.merge",
    "relay.cache.parts",
    "relay.cache.stretches",
    "relay.sync.allowance",
    "relay.sync.loads",
    "relay.sync.materials_plan",
    "relay.sync.plan",
    "relay.sync.width",
)
NOT_PURE = {"asyncio", "aiohttp", "aiortc", "av", "redis", "socket", "time", "pathlib"}

# Of `classroom` a relay may import these alone.
CONTRACTS = (
    "classroom.errors",
    "classroom.clock",
    "classroom.bodies",
    "classroom.toml_settings",
    "classroom.wire",
    "classroom.tokens",
    "classroom.archive",
    "classroom.library",
    "classroom.signalling",
)

_ABOVE_CONTRACTS = (
    "classroom.accounts",
    "classroom.lessons",
    "classroom.library",
    "classroom.signalling",
    "classroom.store",
    "classroom.host",
    "classroom.web",
)
_ABOVE_DOMAIN = _ABOVE_CONTRACTS[3:]
# What puts the packages together stands above all of them.
_RELAY_ENTRIES = ("relay.__main__", "relay.node", "relay.media_process", "relay.service")

# Package → what it must not import: the arrows point one way.
FORBIDDEN: Mapping[str, tuple[str, ...]] = {
    "classroom": ("relay",),
    "classroom.errors": ("classroom",),
    "classroom.clock": ("classroom",),
    "classroom.bodies": ("classroom",),
    "classroom.toml_settings": (
        "classroom.wire",
        "classroom.tokens",
        "classroom.archive",
        *_ABOVE_CONTRACTS,
    ),
    "classroom.wire": _ABOVE_CONTRACTS,
    "classroom.tokens": _ABOVE_CONTRACTS,
    "classroom.archive": _ABOVE_CONTRACTS,
    "classroom.accounts": _ABOVE_DOMAIN,
    "classroom.lessons": _ABOVE_DOMAIN,
    "classroom.library": _ABOVE_DOMAIN,
    "classroom.signalling": ("classroom.store", "classroom.host", "classroom.web"),
    "classroom.store": ("classroom.host", "classroom.web"),
    "classroom.host": ("classroom.store", "classroom.web"),
    "classroom.web": ("classroom.host",),
    "relay.record": (
        "relay.derive",
        "relay.transport",
        "relay.sync",
        "relay.web",
        *_RELAY_ENTRIES,
    ),
    "relay.derive": (
        "relay.cache",
        "relay.transport",
        "relay.sync",
        "relay.web",
        *_RELAY_ENTRIES,
    ),
    "relay.record.assemble": ("relay.record.recorder",),
    "relay.cache": (
        "relay.record",
        "relay.sync",
        "relay.transport",
        "relay.web",
        *_RELAY_ENTRIES,
    ),
    "relay.cache.index": ("relay.cache.files",),
    "relay.sync": ("relay.transport", "relay.web", *_RELAY_ENTRIES),
    "relay.sync.plan": ("relay.sync.client", "relay.cache.files"),
    "relay.transport": (
        "relay.record",
        "relay.derive",
        "relay.cache",
        "relay.sync",
        "relay.web",
        *_RELAY_ENTRIES,
    ),
}
# What the media process and its neighbours say to each other: both ends speak it.
SPOKEN = ("relay.record.feed", "relay.derive.wire")

# Package → all that it may import of its own plane: the innermost packages.
ONLY: Mapping[str, tuple[str, ...]] = {
    "relay.media": ("relay.media",),
    "relay.sfu": ("relay.sfu", "relay.media"),
}

Tree = Mapping[str, str]
"""Module name → source; a package's own module carries the package's name."""


def inside(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def imports_of(module: str, tree: Tree, *, typing_only: bool = True) -> set[str]:
    """Full names of what `module` imports, ours and others'; `typing_only` counts imports under
    TYPE_CHECKING too."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and not typing_only and "TYPE_CHECKING" in ast.dump(node.test):
            for otherwise in node.orelse:
                visit(otherwise)
            return
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                is_package = any(name.startswith(module + ".") for name in tree)
                parts = module.split(".")
                kept = parts[: len(parts) - node.level + is_package]
                base = ".".join([*kept, base] if base else kept)
            for alias in node.names:
                name = f"{base}.{alias.name}"
                found.add(name if name in tree else base)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(tree[module], module))
    return found


def parents(module: str) -> Iterable[str]:
    """The packages whose own module runs before `module` does."""
    while "." in module:
        module = module.rpartition(".")[0]
        yield module


def impurity(module: str, tree: Tree, edges: Mapping[str, set[str]]) -> list[str] | None:
    """The chain of imports by which `module` reaches a module that pure code must not."""
    chains: list[list[str]] = [[module]]
    seen = {module}
    while chains:
        chain = chains.pop(0)
        here = chain[-1]
        reached = set(edges[here])
        for name in list(reached):
            reached.update(parents(name))
        for name in sorted(reached):
            if name.partition(".")[0] in NOT_PURE:
                return [*chain, name]
            if name in tree and name not in seen:
                seen.add(name)
                chains.append([*chain, name])
    return None


def violations(tree: Tree) -> list[str]:
    """A sentence for each import in `tree` that the rules forbid."""
    edges = {module: imports_of(module, tree) for module in tree}
    told = []
    for module, targets in sorted(edges.items()):
        for target in sorted(targets):
            if inside(target, "tests"):
                told.append(f"{module} imports {target}: nothing that ships may")
            if (
                inside(module, "relay")
                and inside(target, "classroom")
                and not any(inside(target, contract) for contract in CONTRACTS)
            ):
                told.append(f"{module} imports {target}: not a contract package")
            for package, forbidden in FORBIDDEN.items():
                if inside(module, package) and any(
                    inside(target, other) and not inside(target, package) and target not in SPOKEN
                    for other in forbidden
                ):
                    told.append(f"{module} imports {target}: against the arrows of {package}")
            for package, allowed in ONLY.items():
                if (
                    inside(module, package)
                    and inside(target, package.partition(".")[0])
                    and "." in target
                    and not any(inside(target, other) for other in allowed)
                ):
                    told.append(f"{module} imports {target}: against the arrows of {package}")
        if any(inside(module, package) for package in PURE):
            chain = impurity(module, tree, edges)
            if chain:
                told.append(f"{module} is pure but reaches {' -> '.join(chain[1:])}")
    return told


def cycles(edges: Mapping[str, set[str]]) -> list[list[str]]:
    """Each ring found in a graph, its first name repeated at the end."""
    rings: list[list[str]] = []
    done: set[str] = set()

    def walk(name: str, path: list[str]) -> None:
        if name in path:
            rings.append([*path[path.index(name) :], name])
            return
        if name in done:
            return
        for target in sorted(edges.get(name, ())):
            walk(target, [*path, name])
        done.add(name)

    for name in sorted(edges):
        walk(name, [])
    return rings


def package_of(module: str) -> str:
    """`relay.media` of `relay.media.rtp`; a module right under its plane stands for itself."""
    return ".".join(module.split(".")[:2])


def package_cycles(tree: Tree) -> list[list[str]]:
    edges: dict[str, set[str]] = {}
    for module in tree:
        here = package_of(module)
        for target in imports_of(module, tree):
            there = package_of(target)
            if there != here and target in tree and "." in there:
                edges.setdefault(here, set()).add(there)
    return cycles(edges)


def module_cycles(tree: Tree) -> list[list[str]]:
    return cycles(
        {
            module: {each for each in imports_of(module, tree, typing_only=False) if each in tree}
            for module in tree
        }
    )


def strangers(names: Iterable[str]) -> list[str]:
    """Names at the repository's root that do not belong there."""
    return sorted(
        name
        for name in names
        if not name.startswith(".")
        and not name.endswith(".egg-info")
        and name not in TOP_LEVEL | LEFTOVERS
    )


def repository() -> dict[str, str]:
    tree = {}
    for plane in ("classroom", "relay"):
        for path in sorted((ROOT / plane).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if parts[-1] == "__init__":
                parts = parts[:-1]
            tree[".".join(parts)] = path.read_text(encoding="utf-8")
    return tree


def test_every_import_follows_the_rules() -> None:
    tree = repository()
    assert len(tree) > 10
    assert violations(tree) == []


def test_no_package_imports_in_a_ring() -> None:
    assert package_cycles(repository()) == []


def test_no_module_imports_in_a_ring() -> None:
    assert module_cycles(repository()) == []


def test_top_level_is_fixed() -> None:
    assert strangers(path.name for path in ROOT.iterdir()) == []


CLEAN: Tree = {
    "classroom": "",
    "classroom.errors": "",
    "classroom.clock": "import time",
    "classroom.wire": "from classroom.errors import Refused",
    "classroom.library": "from classroom.archive import manifest",
    "classroom.archive": "",
    "classroom.archive.manifest": "",
    "classroom.web": "import aiohttp\nfrom classroom.library import search",
    "relay": "",
    "relay.media": "",
    "relay.media.rtp": "import struct",
    "relay.media.vp8": "from . import rtp\nfrom relay.media import rtp",
    "relay.sfu": "from relay.media.rtp import parse",
    "relay.transport": "import asyncio\nfrom relay import sfu\nfrom classroom import wire, clock",
}


def test_a_clean_tree_passes() -> None:
    assert violations(CLEAN) == []
    assert package_cycles(CLEAN) == []
    assert module_cycles(CLEAN) == []


@pytest.mark.parametrize(
    ("module", "source", "complaint"),
    [
        ("relay.media.rtp", "import asyncio", "relay.media.rtp is pure but reaches asyncio"),
        ("relay.media.rtp", "from time import monotonic", "reaches time"),
        ("relay.sfu.viewer", "def f():\n    import socket", "reaches socket"),
        ("relay.media.rtp", "from classroom.clock import wall", "classroom.clock -> time"),
        ("relay.media", "import aiortc.rtp", "relay.sfu is pure but reaches"),
        ("classroom.wire.codec", "import pathlib", "reaches pathlib"),
        ("relay.record.assemble", "import av", "reaches av"),
        ("classroom.web", "from relay.media import rtp", "against the arrows of classroom"),
        ("classroom.lessons", "import relay", "against the arrows of classroom"),
        ("relay.web", "from classroom.store import live", "not a contract package"),
        ("relay.web", "from classroom import web", "not a contract package"),
        ("relay.node", "import classroom", "not a contract package"),
        ("relay.media.rtp", "from relay.sfu import viewer", "against the arrows of relay.media"),
        ("relay.media.rtp", "from ..sfu import viewer", "against the arrows of relay.media"),
        ("relay.sfu", "from relay import transport", "against the arrows of relay.sfu"),
        ("relay.transport", "from relay.record import pipeline", "arrows of relay.transport"),
        ("relay.transport", "from relay.derive import worker", "arrows of relay.transport"),
        ("relay.derive", "from relay.transport import udp", "against the arrows of relay.derive"),
        ("relay.sfu", "from relay.record.feed import Frame", "against the arrows of relay.sfu"),
        ("relay.sfu", "from relay.settings import Relay", "against the arrows of relay.sfu"),
        ("relay.cache", "from relay.node import start", "against the arrows of relay.cache"),
        ("relay.cache.index", "from . import files", "relay.cache.index imports relay.cache.files"),
        ("classroom.lessons", "from classroom import signalling", "arrows of classroom.lessons"),
        ("classroom.signalling", "from classroom import store", "arrows of classroom.signalling"),
        ("classroom.store", "from classroom.web import app", "arrows of classroom.store"),
        ("classroom.wire", "from classroom.lessons import state", "arrows of classroom.wire"),
        ("relay.web", "from tests.fakes import wire", "nothing that ships may"),
    ],
)
def test_each_broken_rule_is_told(module: str, source: str, complaint: str) -> None:
    broken = {
        **dict.fromkeys(("classroom.store", "classroom.signalling", "relay.cache.files"), ""),
        "relay.cache": "",
        **CLEAN,
        module: source,
    }
    told = violations(broken)
    assert any(complaint in each for each in told), told


@pytest.mark.parametrize("find", [package_cycles, module_cycles])
def test_a_ring_is_found(find: Callable[[Tree], list[list[str]]]) -> None:
    ring = {
        **CLEAN,
        "relay.cache": "from relay import sync",
        "relay.sync": "from relay import web",
        "relay.web": "from relay.cache import files",
    }
    assert any(set(each) == {"relay.cache", "relay.sync", "relay.web"} for each in find(ring))


def test_a_ring_inside_a_package_may_close_for_types_only() -> None:
    ring = {"relay.web.a": "from relay.web import b", "relay.web.b": "from relay.web import a"}
    assert module_cycles(ring)
    ring["relay.web.b"] = (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from relay.web import a"
    )
    assert module_cycles(ring) == []


def test_a_stranger_at_the_top_is_told() -> None:
    assert strangers(["relay", ".ci", "x.egg-info", "utils", "notes.md"]) == ["notes.md", "utils"]
