"""`classroom …` on the command line beside a running server, without a process of its own.

Lives here: running a subcommand on a server's data directory and what it printed. Must not live
here: servers (`tests.live.central`) and assertions about what they do.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from classroom.__main__ import main


class Command:
    """Call it with the words after `classroom`; gives what was printed."""

    def __init__(self, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._data = data
        self._capsys = capsys

    async def __call__(self, *words: str, code: int = 0) -> str:
        """Of a command that ends with `code`: its output, or what it complained of."""
        self._capsys.readouterr()
        assert await asyncio.to_thread(main, [*words, "--data", str(self._data)]) == code
        printed = self._capsys.readouterr()
        return (printed.out if code == 0 else printed.err).strip()
