"""What the oldest Python that we promise to run on does otherwise, held against all sources.

Debian 12 has 3.11.2. There what `except*` raises comes out in a group, and who catches the error
itself does not see it; later releases of 3.11 raise it bare.
"""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def raised_from_groups(source: str) -> list[int]:
    """Lines that raise another error from within `except*`."""
    return [
        inner.lineno
        for outer in ast.walk(ast.parse(source))
        if isinstance(outer, ast.TryStar)
        for handler in outer.handlers
        for inner in ast.walk(handler)
        if isinstance(inner, ast.Raise) and inner.exc is not None
    ]


def test_except_star_raises_nothing_of_its_own() -> None:
    found = [
        f"{file.relative_to(ROOT)}:{line}"
        for top in ("classroom", "relay", "tests")
        for file in sorted((ROOT / top).rglob("*.py"))
        for line in raised_from_groups(file.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_such_a_line_is_found() -> None:
    source = "try:\n  go()\nexcept* OSError as errors:\n  if errors:\n    raise ValueError\n"
    assert raised_from_groups(source) == [5]
    assert raised_from_groups(source.replace("raise ValueError", "raise")) == []
