"""What operators are told fits together: units, sample settings, commands and benchmarks.

Reads the documents and files under config/ as an operator would follow them.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from classroom.__main__ import COMMANDS
from classroom.settings import Settings
from classroom.toml_settings import load
from relay.settings import RelaySettings
from tests.bench.__main__ import BENCHMARKS

ROOT = Path(__file__).resolve().parent.parent
CONFIG = ROOT / "config"
DOCUMENTS = [ROOT / "README.md", CONFIG / "README.md"]
SETTINGS = "/etc/classroom/classroom.toml"


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def commands(path: Path) -> list[str]:
    """The command lines in a document's blocks, continued lines joined."""
    blocks = re.findall(r"^```\n(.*?)^```", text(path), re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.replace("\\\n", "").splitlines()]


def unit(name: str) -> dict[str, str]:
    """The assignments of a unit."""
    lines = text(CONFIG / f"{name}.service").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and line[0] != "#")


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("classroom", load(Settings, CONFIG / "classroom.toml").storage.data),
        ("classroom-relay", load(RelaySettings, CONFIG / "relay.toml").data),
    ],
)
def test_a_unit_may_write_where_its_sample_settings_say(name: str, data: str) -> None:
    found = unit(name)
    assert Path(data).is_relative_to(found["ReadWritePaths"])
    assert int(found["LimitNOFILE"]) >= 65_536
    # The user's home is made by the command that makes the user.
    made = next(line for line in commands(CONFIG / "README.md") if line.startswith("useradd"))
    assert f"--home-dir {found['ReadWritePaths']} --create-home {found['User']}" in made


def test_the_token_is_put_where_the_relay_looks_for_it_and_before_it_starts() -> None:
    token = load(RelaySettings, CONFIG / "relay.toml").token_file
    for document in DOCUMENTS:
        lines = commands(document)
        put = next(i for i, line in enumerate(lines) if f"relay-token {token}" in line)
        started = lines.index("systemctl enable --now classroom-relay")
        made = next(i for i, line in enumerate(lines) if "classroom link relay" in line)
        assert lines.index("systemctl enable --now classroom") < made < put < started


@pytest.mark.parametrize("document", DOCUMENTS, ids=["project", "config"])
def test_links_are_made_with_the_servers_key(document: Path) -> None:
    found = [line for line in commands(document) if "classroom link" in line]
    assert found
    for line in found:
        assert "sudo -u classroom classroom link" in line
        assert f"--config {SETTINGS}" in line
    assert "classroom link viewer" in text(ROOT / "README.md")


@pytest.mark.parametrize("path", [*DOCUMENTS, *CONFIG.glob("*.toml")], ids=lambda path: path.name)
def test_commands_that_are_named_exist(path: Path) -> None:
    named = set(
        re.findall(r"`classroom ([a-z][a-z-]*)|-u classroom classroom ([a-z-]+)", text(path))
    )
    assert {one or other for one, other in named} <= set(COMMANDS)


@pytest.mark.parametrize("path", [*DOCUMENTS, *CONFIG.glob("*.toml")], ids=lambda path: path.name)
def test_benchmarks_that_are_named_exist(path: Path) -> None:
    assert set(re.findall(r"tests\.bench (\w+)", text(path))) <= set(BENCHMARKS)
