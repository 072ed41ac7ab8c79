"""`classroom-relay status`, the page's document and metrics, of a relay that runs or has died."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path
from typing import Any

from classroom.tokens import Role
from relay.power import read_running
from tests.bench.school_relay import SchoolRelay, school_relay

METRICS = Path(__file__).resolve().parents[2] / "config" / "METRICS.md"


async def status(data: Path) -> dict[str, Any]:
    """What the command prints for programs."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "relay", "status", "--json", "--data", str(data)),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert process.returncode in (0, 1)
    document: dict[str, Any] = json.loads(out)
    return document


def command_lines(relay: SchoolRelay) -> str:
    """With what all processes of a relay were started."""
    return "".join(Path(f"/proc/{pid}/cmdline").read_text() for pid in relay.all_pids())


async def test_a_relay_says_how_it_fares_and_what_happened_to_it(tmp_path: Path) -> None:
    data = tmp_path / "relay"
    # A name that only the internet knows; the line to that is the one that is down.
    async with school_relay(data, lines=['public_url = "http://truong.invalid"']) as relay:
        assert relay.url == "http://truong.invalid"
        running = read_running(data)
        assert running is not None
        facts = await status(data)
        assert facts["parts"] == {"media": True, "recorder": True}
        assert [one["name"] for one in facts["advice"]] == ["central-away"]
        assert facts["power"]["last"] is None
        async with relay.client() as http:
            address = f"{running.url}/api/status"
            # Whoever is not on the school's network needs a link with which lessons are managed.
            far = {"X-Forwarded-For": "198.51.100.7"}
            async with http.get(address, headers=far) as answer:
                assert answer.status == 401
            for role, expected in ((Role.VIEWER, 403), (Role.TEACHER, 200)):
                token = {"Authorization": f"Bearer {relay.token(role)}"}
                async with http.get(address, headers=far | token) as answer:
                    assert answer.status == expected
        relay.kill()
    facts = await status(data)
    assert [one["name"] for one in facts["advice"]] == ["was-cut-off"]
    lines = ['parents = ["http://127.0.0.1:9"]', 'code = "BCFGH-JKMNP"']
    async with school_relay(data, lines=lines) as relay:
        assert "BCFGH-JKMNP" not in command_lines(relay), "anybody on the machine may read them"
        facts = await status(data)
        assert facts["power"]["last"]["kind"] == "killed"
        assert [one["name"] for one in facts["advice"]] == ["not-enrolled", "was-killed"]
        async with relay.client() as http, http.get(f"{relay.url}/metrics") as answer:
            told = re.findall(r"^# TYPE (\S+) (\S+)$", await answer.text(), re.MULTILINE)
        listed = re.findall(r"^\| `(\S+)` \| (\w+) \|", METRICS.read_text("utf-8"), re.MULTILINE)
        assert told == listed
