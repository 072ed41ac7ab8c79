"""Settings files are read strictly: what is unknown or of the wrong type is named in the error."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from classroom.errors import Misuse
from classroom.toml_settings import from_table, load


@dataclass(frozen=True)
class Inner:
    depth: float = 1.0


@dataclass(frozen=True)
class Outer:
    name: str = "a"
    port: int = 80
    parent: str | None = None
    hosts: tuple[str, ...] = ()
    inner: Inner = field(default_factory=Inner)


def test_defaults_need_no_file() -> None:
    assert load(Outer, None) == Outer()


def test_every_kind_of_value_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text('name = "b"\nport = 81\nparent = "p"\nhosts = ["x", "y"]\n[inner]\ndepth = 2\n')
    assert load(Outer, path) == Outer("b", 81, "p", ("x", "y"), Inner(2.0))


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"prot": 1}, "unknown key 'prot'"),
        ({"port": "80"}, "port must be of type int, not str"),
        ({"port": True}, "port must be of type int, not bool"),
        ({"hosts": "x"}, "hosts must be a list of strings"),
        ({"inner": 3}, "inner must be a table"),
        ({"inner": {"deep": 1}}, "inner: unknown key 'deep'"),
    ],
)
def test_a_wrong_value_is_named(table: dict[str, object], words: str) -> None:
    with pytest.raises(Misuse, match=words):
        from_table(Outer, table, where="relay.toml")


def test_a_missing_file_and_bad_toml_are_named(tmp_path: Path) -> None:
    with pytest.raises(Misuse, match="cannot read settings"):
        load(Outer, tmp_path / "none.toml")
    bad = tmp_path / "bad.toml"
    bad.write_text("a = ")
    with pytest.raises(Misuse, match="not valid TOML"):
        load(Outer, bad)


def test_a_file_of_a_windows_editor_is_read_or_told_of(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text('name = "Trường"\r\n', encoding="utf-8-sig", newline="")
    assert load(Outer, path) == Outer("Trường")
    for encoding in ("utf-16", "cp1252"):
        path.write_text('name = "café"\n', encoding=encoding)
        with pytest.raises(Misuse, match=r"a\.toml is not a text in UTF-8; save it as UTF-8"):
            load(Outer, path)
