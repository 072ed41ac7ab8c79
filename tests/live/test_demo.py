"""`classroom demo` when it cannot do what it was asked: a sentence soon, and nothing left behind.

Real processes. What it does when all is well is in every story that starts from it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from classroom import demo
from classroom.errors import Absent


def _marked(mark: str) -> Iterator[int]:
    """Processes with `mark` in their environment, which children inherit."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            # A process that ended and was not waited for yet has none.
            if mark.encode() in (folder / "environ").read_bytes():
                yield int(folder.name)


@pytest.mark.parametrize("json", [False, True])
async def test_a_source_that_is_not_there_ends_the_demo_with_the_hosts_words(
    json: bool, tmp_path: Path
) -> None:
    mark = f"CLASSROOM_DEMO_TEST={tmp_path}"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "classroom", "demo", *(["--json"] if json else [])),
        *("--source", "/nowhere.mp4", "--port", "0", "--udp-port", "0", "--data", str(tmp_path)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | dict([mark.split("=")]),
    )
    async with asyncio.timeout(demo.START_SECONDS):
        _, errors = await process.communicate()
    text = errors.decode()
    assert process.returncode == 2, text
    assert text.splitlines()[-1] == (
        "classroom: host cannot start: "
        "classroom host: There is no file /nowhere.mp4; check the path."
    )
    assert "Traceback" not in text
    assert json or len(text.splitlines()) == 1
    assert json or "There is no file" in (tmp_path / "demo.log").read_text()
    assert list(_marked(mark)) == []


async def test_a_process_that_says_nothing_is_given_up_with_the_place_of_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = tmp_path / "silent"
    silent.write_text("#!/bin/sh\nexec sleep 600\n")
    silent.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(silent))
    monkeypatch.setattr(demo, "START_SECONDS", 0.5)
    monkeypatch.setenv("CLASSROOM_DEMO_TEST", str(tmp_path))
    parser = argparse.ArgumentParser()
    demo.add_arguments(parser)
    args = parser.parse_args(["--port", "0", "--udp-port", "0", "--data", str(tmp_path / "data")])
    with pytest.raises(Absent, match="The serve process did not become ready within") as caught:
        await demo.Demo(args).run()
    assert caught.value.fix == f"See {tmp_path / 'data' / 'demo.log'}."
    assert list(_marked(f"CLASSROOM_DEMO_TEST={tmp_path}")) == []
