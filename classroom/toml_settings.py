"""Reads a TOML file into frozen dataclasses, strictly: an unknown key or a wrong type is an error.

A settings class is a frozen dataclass whose fields are `bool`, `int`, `float`, `str`, a tuple of
`str`, an optional of these, or another such dataclass (a TOML table). Every field has a default,
so that no file is needed. Bounds are checked by the class's own `__post_init__` raising `Misuse`.
"""

from __future__ import annotations

import dataclasses
import tomllib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from classroom.errors import Misuse

T = TypeVar("T")


def load(cls: type[T], path: Path | None) -> T:
    """Build `cls` from the TOML file at `path`; with None, from its defaults.

    Raises Misuse naming file, key and what is expected.
    """
    if path is None:
        return cls()
    try:
        # Windows' editors put a mark before UTF-8, or save as something else.
        table = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise Misuse(f"cannot read settings {path}: {error.strerror}; check the path") from error
    except UnicodeDecodeError as error:
        raise Misuse(f"{path} is not a text in UTF-8; save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise Misuse(f"{path} is not valid TOML: {error}") from error
    return from_table(cls, table, where=str(path))


def from_table(cls: type[T], table: Mapping[str, Any], *, where: str) -> T:
    """Build `cls` from a parsed table; `where` begins every error message."""
    hints = typing.get_type_hints(cls)
    known_fields = dataclasses.fields(cls)  # type: ignore[arg-type]  # only dataclasses come here
    fields = {field.name for field in known_fields}
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in fields:
            known = ", ".join(sorted(fields))
            raise Misuse(f"{where}: unknown key {key!r}; the known keys are {known}")
        values[key] = _convert(hints[key], value, f"{where}: {key}")
    return cls(**values)


def _convert(hint: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if not isinstance(value, Mapping):
            raise Misuse(f"{where} must be a table")
        return from_table(hint, value, where=where)
    origin = typing.get_origin(hint)
    if origin in (types.UnionType, typing.Union):
        inner = [arg for arg in typing.get_args(hint) if arg is not type(None)]
        return _convert(inner[0], value, where)
    if origin is tuple:
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise Misuse(f"{where} must be a list of strings")
        return tuple(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise Misuse(f"{where} must be of type {hint.__name__}, not {type(value).__name__}")
    return value
