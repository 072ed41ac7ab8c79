"""A real redis-server for the tests that need one, on a Unix socket of its own, gone afterwards.

Not a fake: it stands here because several test files share it. If redis-server is not installed
the test fails and says what to install.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def redis_server(directory: Path | None = None) -> Iterator[str]:
    """Run a redis-server that keeps nothing on disk; gives its unix:// URL."""
    program = shutil.which("redis-server")
    if program is None:
        raise AssertionError("redis-server is not installed; run: apt-get install redis-server")
    # A socket's path may have 107 characters; pytest's own directories can be longer.
    with tempfile.TemporaryDirectory(prefix="redis-") as short:
        path = (directory or Path(short)) / "redis.sock"
        command = [program, "--port", "0", "--unixsocket", str(path), "--save", ""]
        command += ["--appendonly", "no", "--dir", short]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            _wait_for(path, process)
            yield f"unix://{path}"
        finally:
            process.terminate()
            process.wait(10)


def _wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    for _ in range(500):
        assert process.poll() is None, f"redis-server ended with {process.returncode}"
        try:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(str(path))
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError("redis-server does not answer")
