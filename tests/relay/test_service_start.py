"""A service process of which a part fails before the media process is there.

Run in a process of its own: it takes the processors, signals and sockets of a real one.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

_PROGRAM: Final = """
import asyncio, os, socket, sys
from pathlib import Path
from relay import service_process
from relay.settings import RelaySettings
from relay.web.scout import Scout

async def fail(self, http):
    raise RuntimeError("a bug, like any")

Scout.run = fail
sock = socket.create_server(("127.0.0.1", 0))
data = Path(sys.argv[1])
settings = RelaySettings(host="127.0.0.1", port=0, data=str(data), central="http://127.0.0.1:9")
ready, told = os.pipe()
try:
    asyncio.run(
        service_process.serve(settings, "http://127.0.0.1:1", data, sock, 0, told)
    )
finally:
    os.close(told)
    print("ready" if os.read(ready, 1) else "not ready")
"""


def test_it_ends_and_is_never_called_ready(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(tmp_path)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 1
    assert "a bug, like any" in ran.stderr
    assert ran.stdout == "not ready\n"
