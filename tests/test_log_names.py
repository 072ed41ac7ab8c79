"""Events in logs have names in kebab-case, so that whoever searches logs need not guess.

Held against the HTTP sides of both planes and the relay's service process.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILES = [
    *sorted((ROOT / "classroom" / "web").glob("*.py")),
    *sorted((ROOT / "relay" / "web").glob("*.py")),
    ROOT / "relay" / "service.py",
    ROOT / "relay" / "service_process.py",
]
_LOGGERS = ("_log", "LOG")
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def names(source: str) -> list[str]:
    """The constant names of events that a module writes."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        method = node.func
        writes = isinstance(method, ast.Name) and method.id == "event"
        if isinstance(method, ast.Attribute) and isinstance(method.value, ast.Name):
            writes = method.value.id in _LOGGERS
        first = node.args[0]
        if writes and isinstance(first, ast.Constant) and isinstance(first.value, str):
            found.append(first.value)
    return found


def test_names_are_found() -> None:
    source = '_log.warning("a b", extra={})\nevent("lesson-live")\nprint("c d")'
    assert names(source) == ["a b", "lesson-live"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_events_are_named_in_kebab_case(path: Path) -> None:
    found = names(path.read_text(encoding="utf-8"))
    assert [name for name in found if not _NAME.fullmatch(name)] == []
