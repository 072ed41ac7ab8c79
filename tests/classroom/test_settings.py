"""The settings: file and dataclass say the same, every key is explained, bounds name their key."""

from __future__ import annotations

import tomllib
from dataclasses import fields, is_dataclass, replace
from pathlib import Path

import pytest

from classroom.errors import Misuse
from classroom.settings import Settings
from classroom.toml_settings import from_table, load

FILE = Path(__file__).parent.parent.parent / "config" / "classroom.toml"


def keys() -> dict[str, set[str]]:
    settings = Settings()
    tables = {field.name: getattr(settings, field.name) for field in fields(settings)}
    assert all(is_dataclass(table) for table in tables.values())
    return {name: {field.name for field in fields(table)} for name, table in tables.items()}


def test_the_file_lists_every_key_with_its_default() -> None:
    table = tomllib.loads(FILE.read_text(encoding="utf-8"))
    assert {name: set(inner) for name, inner in table.items()} == keys()
    # The data directory stands as the unit for systemd needs it.
    found = load(Settings, FILE)
    assert replace(found, storage=replace(found.storage, data="classroom-data")) == Settings()


def test_every_key_is_explained_above_it() -> None:
    above = ""
    for line in FILE.read_text(encoding="utf-8").splitlines():
        if " = " in line and not line.startswith("#"):
            assert above, f"{line} has no words above it"
        elif line.startswith("#"):
            above += line
        elif not line:
            above = ""


@pytest.mark.parametrize(
    ("table", "key", "value"),
    [
        ("server", "port", 65536),
        ("server", "port", -1),
        ("server", "public_url", "school.example"),
        ("server", "public_url", "https://school.example/path"),
        ("server", "tls_key", "key.pem"),
        ("server", "log_level", "loud"),
        ("server", "body_limit_kib", 0),
        ("storage", "data", ""),
        ("server", "public_url", "https://[school"),
        ("server", "public_url", "https://school.example:80a"),
        ("storage", "redis_url", "http://redis"),
        ("storage", "redis_url", "redis://redis:63a9/0"),
        ("lessons", "idle_end_s", 0.0),
        ("lessons", "school", "x" * 61),
        ("lessons", "silent_end_s", 60.0),
        ("lessons", "relay_lost_s", float("nan")),
        ("links", "room_days", -1.0),
        ("links", "nonsense", 1),
        ("materials", "file_mb", 0),
        ("materials", "file_mb", 501),
        ("materials", "lesson_mb", 49),
        ("materials", "file_mb", 2.5),
    ],
)
def test_a_bad_value_names_its_key(table: str, key: str, value: object) -> None:
    with pytest.raises(Misuse, match=key):
        from_table(Settings, {table: {key: value}}, where="classroom.toml")


def test_files_of_lessons_lie_in_the_data_directory_unless_told() -> None:
    settings = Settings().with_arguments(data="/srv")
    assert settings.materials_folder == Path("/srv/materials")
    shared = from_table(Settings, {"materials": {"dir": "/mnt/shared"}}, where="classroom.toml")
    assert shared.with_arguments(data="/srv").materials_folder == Path("/mnt/shared")


def test_the_command_line_goes_before_the_file() -> None:
    settings = Settings().with_arguments(
        host="::1", port=0, data="/srv", public_url="https://school.example/"
    )
    assert (settings.server.host, settings.server.port) == ("::1", 0)
    assert settings.data == Path("/srv")
    assert settings.server.public_url == "https://school.example"
    assert Settings().with_arguments() == Settings()
    with pytest.raises(Misuse, match="public_url"):
        Settings().with_arguments(public_url="nonsense")
