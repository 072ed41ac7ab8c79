"""What a school's small machine is spared: processes that load nothing that they do not use.

A library costs megabytes in each process that imports it, used or not. Fresh interpreters tell.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

_SAY_WHAT_IS_LOADED = "import sys, {module}; print(*sys.modules, sep='\\n')"


def loaded(module: str) -> set[str]:
    """Every module in an interpreter that imported `module`."""
    command = [sys.executable, "-c", _SAY_WHAT_IS_LOADED.format(module=module)]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.parametrize(
    ("module", "spared"),
    [
        # Decoding, encoding, DTLS and fan-out belong to other processes.
        ("relay.service", {"av", "numpy", "aiortc", "aioice", "pylibsrtp", "relay.media_process"}),
        # HTTP, tokens and metrics belong to the service.
        ("relay.media_process", {"aiohttp", "jwt", "prometheus_client", "sqlite3"}),
        ("relay.node", {"aiohttp", "av", "numpy", "aiortc", "cryptography", "msgpack"}),
    ],
)
def test_a_process_loads_nothing_that_is_another_ones(module: str, spared: set[str]) -> None:
    assert not loaded(module) & spared
