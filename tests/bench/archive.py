"""`python -m tests.bench archive`: what a school's own copy costs and whether it holds.

Runs the scenarios of the files `archive_NAME.py` beside this one, all or those named, each in a
process of its own, so that no scenario warms the next one. Such a file's docstring begins with its
line of help, and its function `measure() -> list[Figure]` gives the figures with their bounds. The
exit code is 1 when a figure does not hold.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tests.bench.figures import Figure, table

_FOLDER: Final = Path(__file__).resolve().parent
_PREFIX: Final = "archive_"
# Names with another underscore are parts of a scenario, not scenarios.
_PART: Final = "_"


def scenarios() -> dict[str, str]:
    """Each scenario's name, and what it tells."""
    found = {}
    for file in sorted(_FOLDER.glob(f"{_PREFIX}*.py")):
        name = file.stem.removeprefix(_PREFIX)
        if _PART not in name:
            words = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
            found[name] = words.partition("\n")[0].rstrip(".")
    return found


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `archive`."""
    known = scenarios()
    parser.add_argument(
        "--scenario",
        action="append",
        choices=sorted(known),
        help="; ".join(f"{name}: {text}" for name, text in known.items()),
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    # One scenario in this very process; prints its figures as JSON.
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    """Run what is asked for, print, and tell by the exit code whether all bounds hold."""
    names: Sequence[str] = args.scenario or list(scenarios())
    if args.alone:
        module = importlib.import_module(f"tests.bench.{_PREFIX}{names[0]}")
        figures: list[Figure] = module.measure()
        print(json.dumps([figure.as_json() for figure in figures]))
        return 0
    results: dict[str, list[dict[str, Any]] | None] = {}
    for name in names:
        results[name] = _in_a_process(name)
        if not args.json:
            print(_told(name, results[name]), flush=True)
    well = all(
        figures is not None and all(figure["holds"] for figure in figures)
        for figures in results.values()
    )
    if args.json:
        print(json.dumps({"holds": well, "scenarios": results}, ensure_ascii=False))
    return 0 if well else 1


def _told(name: str, figures: list[dict[str, Any]] | None) -> str:
    if figures is None:
        return f"{name}: DOES NOT HOLD, it failed"
    bare = [{key: value for key, value in one.items() if key != "holds"} for one in figures]
    return table(name, [Figure(**one) for one in bare])


def _in_a_process(name: str) -> list[dict[str, Any]] | None:
    """The figures of one scenario, None when it failed (its traceback is on standard error)."""
    command = [sys.executable, "-m", "tests.bench", "archive", "--alone", "--scenario", name]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if done.returncode != 0:
        return None
    figures: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return figures
