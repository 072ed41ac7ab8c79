"""`classroom-relay status`: how the relay on this machine fares, in plain words.

Here: finding the relay that runs on a data directory and asking it, or looking at what is on the
disk when it does not run. Not here: the words (`status_words`), the facts (`relay.web.status`).
Exit status 0: nothing need be done; 1: something is to be looked at; 2: the command is misused.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import ssl
import urllib.error
import urllib.request
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from classroom import toml_settings
from classroom.clock import wall
from classroom.errors import Misuse
from relay.power import read_running, read_stops
from relay.settings import RelaySettings
from relay.status_words import LANGUAGES, describe, describe_stopped

_ANSWER_SECONDS: Final = 10.0
_MOST_BYTES: Final = 4 << 20
# Where the unit for systemd has its settings; used when nothing else is said.
_USUAL_CONFIG: Final = Path("/etc/classroom/relay.toml")


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The arguments."""
    command = commands.add_parser("status", help="say how the relay on this machine fares")
    command.add_argument("--config", type=Path, help=f"TOML file; else {_USUAL_CONFIG} if there")
    command.add_argument("--data", type=Path, help="directory for archives and state")
    command.add_argument("--lang", choices=sorted(LANGUAGES), help="language; else by LANG")
    command.add_argument("--json", action="store_true", help="print the facts as JSON")


def run(options: argparse.Namespace) -> int:
    """Print; the exit status. Raises Misuse."""
    try:
        return _run(options)
    except (PermissionError, Misuse) as error:
        denied = error.__cause__ if isinstance(error, Misuse) else error
        if not isinstance(denied, PermissionError):
            raise
        raise Misuse(
            f"{denied.filename} may not be read by you; run this as root "
            "(sudo classroom-relay status)"
        ) from error


def _run(options: argparse.Namespace) -> int:
    data = _data(options)
    language = options.lang or _language()
    facts = ask(data)
    if facts is None:
        facts = stopped(data)
        text = describe_stopped(facts, language)
    else:
        text = describe(facts, language)
    print(json.dumps(facts, ensure_ascii=False, indent=2) if options.json else text)
    return 0 if all(one["level"] == "note" for one in facts["advice"]) else 1


def ask(data: Path) -> dict[str, Any] | None:
    """The facts as the relay that runs on `data` tells them, None when none answers. Raises
    PermissionError."""
    running = read_running(data)
    if running is None or not running.url:
        return None
    # On this machine, whatever its certificate is for: nothing secret is asked or told.
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trusting)
    )
    try:
        with opener.open(running.url + "/api/status", timeout=_ANSWER_SECONDS) as answer:
            facts = json.loads(answer.read(_MOST_BYTES))
    except (OSError, ValueError, urllib.error.URLError):
        return None
    return facts if isinstance(facts, dict) and "advice" in facts else None


def stopped(data: Path) -> dict[str, Any]:
    """What can be seen on the disk of a relay that does not answer. Raises PermissionError."""
    running, stops = read_running(data), read_stops(data)
    archives = data / "archives"
    try:
        held = sum(entry.is_dir() for entry in os.scandir(archives))
        free = shutil.disk_usage(data).free
    except FileNotFoundError:
        held, free = 0, shutil.disk_usage(data).free
    if running is None:
        name = "not-running"
    else:
        name = "not-answering" if _lives(running.pid) else "was-cut-off"
    return {
        "now": wall(),
        "lessons": {"held": held},
        "space": {"free": free},
        "power": {"last": asdict(stops[-1]) if stops else None},
        "advice": [{"name": name, "level": "bad"}],
    }


def _data(options: argparse.Namespace) -> Path:
    if options.data is not None:
        data = Path(options.data)
    else:
        config = options.config or (_USUAL_CONFIG if _USUAL_CONFIG.exists() else None)
        data = Path(toml_settings.load(RelaySettings, config).data)
    if not data.is_dir():
        raise Misuse(f"{data} is not a relay's directory; name it with --data or --config")
    return data


def _language() -> str:
    """Vietnamese unless the session speaks English; "C" says nothing of the person."""
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        value = os.environ.get(name, "")
        if value:
            return "en" if value.lower().startswith("en") else "vi"
    return "vi"


def _lives(pid: int) -> bool:
    return pid > 0 and Path(f"/proc/{pid}").exists()
