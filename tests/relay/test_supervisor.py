"""What systemd hears of a relay."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from relay import supervisor


@pytest.mark.parametrize("abstract", [False, True])
def test_the_supervisor_hears_on_the_socket_that_it_names(
    abstract: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        name = "\0classroom-test" if abstract else str(tmp_path / "notify")
        listening.bind(name)
        listening.settimeout(5.0)
        monkeypatch.setenv("NOTIFY_SOCKET", name.replace("\0", "@"))
        for state in (supervisor.READY, supervisor.ALIVE, supervisor.STOPPING):
            supervisor.tell(state)
            assert listening.recv(100).decode() == state


@pytest.mark.parametrize("address", ["", "nonsense", "/none/such", "@none-such"])
def test_nobody_listening_is_no_failure(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    supervisor.tell(supervisor.READY)
