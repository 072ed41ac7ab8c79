"""No underscored member of aiortc, aioice or pylibsrtp is used without a test in the contract.

Sources are read, not run: a member counts as borrowed when its name is underscored, one of those
packages defines it, and the file that uses it does not. Its test stands in
`tests/relay/test_aiortc_contract.py`, which has to use it as well.
"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CONTRACT = ROOT / "tests" / "relay" / "test_aiortc_contract.py"
BY_NAME = {"setattr", "getattr", "hasattr", "delattr", "object"}  # the last: mock's patch.object


def underscored(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name != "_"


def defined(tree: ast.AST) -> Iterator[str]:
    """Names of functions, classes and attributes that a file makes."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.ClassDef(name=name) | ast.Name(id=name, ctx=ast.Store()):
                yield name
            case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name):
                yield name
            case ast.ImportFrom(names=names):
                yield from (each.asname or each.name for each in names)


def used(tree: ast.AST) -> Iterator[str]:
    """Underscored names that a file reaches for in something else than itself."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="self" | "cls")):
                continue
            case ast.Attribute(attr=name) if underscored(name):
                yield name
            case ast.Call(
                func=ast.Name(id=call) | ast.Attribute(attr=call),
                args=[_, ast.Constant(value=str(name)), *_],
            ) if call in BY_NAME and underscored(name):
                yield name


def theirs(package: str) -> set[str]:
    found = importlib.util.find_spec(package)
    assert found is not None
    assert found.origin is not None
    files = Path(found.origin).parent.rglob("*.py")
    return {name for file in files for name in defined(ast.parse(file.read_text()))}


PACKAGES = theirs("aiortc") | theirs("aioice") | theirs("pylibsrtp")


def borrowed(source: str) -> set[str]:
    tree = ast.parse(source)
    return (set(used(tree)) - set(defined(tree))) & PACKAGES


def test_each_borrowed_member_is_in_the_contract() -> None:
    covered = set(used(ast.parse(CONTRACT.read_text())))
    without = {
        f"{file.relative_to(ROOT)}: {name}"
        for top in ("classroom", "relay", "tests")
        for file in (ROOT / top).rglob("*.py")
        for name in borrowed(file.read_text()) - covered
    }
    assert sorted(without) == []


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("transport._rx_srtp.unprotect(b'')", {"_rx_srtp"}),
        ("peer.sender._send_keyframe = ask", {"_send_keyframe"}),
        ("setattr(sender, '_send_keyframe', ask)", {"_send_keyframe"}),
        ("monkeypatch.setattr(sender, '_send_keyframe', ask)", {"_send_keyframe"}),
        ("self.transport._task", {"_task"}),
        ("class A:\n def f(self, other):\n  return self._task, other._task", set()),
        ("peer._known_to_no_library", set()),
        ("sender.__class__", set()),
    ],
)
def test_what_counts_as_borrowed(source: str, names: set[str]) -> None:
    assert borrowed(source) == names
