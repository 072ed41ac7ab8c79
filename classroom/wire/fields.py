"""Turns the type hints of a message class into strict checks of what arrived.

A hint may be `bool`, a `StrEnum`, another message dataclass, `X | None`, a `tuple[X, ...]` marked
with `Items`, or a `str`, `int`, `float` or `bytes` marked with `Text`, `Whole`, `Number` or
`Octets`. Each check takes a value and the path of its place in the body, and gives back the value
or raises Refused 400 `wire-bad-field`. Keys that a class does not know are passed over, so that a
later version may add some; a missing key is refused unless the class gives it a default. Pure.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import types
import typing
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Annotated, Any, NoReturn

from classroom.errors import Refused

Check = Callable[[object, str], object]


@dataclasses.dataclass(frozen=True, slots=True)
class Text:
    """A string of `shortest` to `longest` characters, matching `pattern` as a whole if given."""

    longest: int
    shortest: int = 0
    pattern: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Whole:
    """An integer, bounds included. 2**53 - 1 is the largest that a browser holds exactly."""

    low: int = 0
    high: int = 2**53 - 1


@dataclasses.dataclass(frozen=True, slots=True)
class Number:
    """A finite number, bounds included; the default range holds any date in unix seconds."""

    low: float = 0.0
    high: float = 1e12


@dataclasses.dataclass(frozen=True, slots=True)
class Octets:
    """One to `longest` bytes."""

    longest: int


@dataclasses.dataclass(frozen=True, slots=True)
class Items:
    """A list of at most `most` items."""

    most: int


def bad_field(path: str, expected: str) -> NoReturn:
    """Refuse the value at `path` ("lesson.title"), saying what was expected there."""
    raise Refused(
        400,
        "wire-bad-field",
        f"The message's {path} must be {expected}.",
        fix="Reload the page; if it stays so, page and server are of versions that do not fit.",
        field=path,
    )


def read(cls: type[Any], body: object, path: str = "") -> Any:
    """Build `cls` from a decoded map; `path` names its place for errors ("" for the body)."""
    if not isinstance(body, Mapping):
        bad_field(path or "body", "a map")
    values: dict[str, object] = {}
    for name, check, required in _plan(cls):
        if name in body:
            values[name] = check(body[name], f"{path}.{name}" if path else name)
        elif required:
            bad_field(f"{path}.{name}" if path else name, "present")
    return cls(**values)


_Plan = tuple[tuple[str, Check, bool], ...]
# Hints are read once per class: they never change, and a message comes every few milliseconds.
_plans: dict[type[Any], _Plan] = {}


def _plan(cls: type[Any]) -> _Plan:
    plan = _plans.get(cls)
    if plan is None:
        plan = _plans[cls] = _read_hints(cls)
    return plan


def _read_hints(cls: type[Any]) -> _Plan:
    hints = typing.get_type_hints(cls, include_extras=True)
    return tuple(
        (
            field.name,
            _check_for(hints[field.name]),
            field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING,
        )
        for field in dataclasses.fields(cls)
    )


def _check_for(hint: Any) -> Check:
    origin = typing.get_origin(hint)
    if origin in (types.UnionType, typing.Union):
        (inner,) = [arg for arg in typing.get_args(hint) if arg is not type(None)]
        check = _check_for(inner)
        return lambda value, path: None if value is None else check(value, path)
    if origin is Annotated:
        base, mark = typing.get_args(hint)
        return _marked(base, mark)
    if hint is bool:
        return _boolean
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return functools.partial(_one_of, hint)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return functools.partial(read, hint)
    raise TypeError(f"a message field cannot be of type {hint!r}")


def _marked(base: Any, mark: object) -> Check:
    match mark:
        case Text():
            return functools.partial(_text, mark)
        case Whole():
            return functools.partial(_whole, mark)
        case Number():
            return functools.partial(_number, mark)
        case Octets():
            return functools.partial(_octets, mark)
        case Items():
            return functools.partial(_items, mark, _check_for(typing.get_args(base)[0]))
        case _:
            raise TypeError(f"unknown mark {mark!r}")


def _boolean(value: object, path: str) -> object:
    if not isinstance(value, bool):
        bad_field(path, "true or false")
    return value


def _one_of(choices: type[StrEnum], value: object, path: str) -> object:
    if isinstance(value, str):
        for choice in choices:
            if choice.value == value:
                return choice
    bad_field(path, "one of " + ", ".join(choices))


def _text(mark: Text, value: object, path: str) -> object:
    if not isinstance(value, str) or not mark.shortest <= len(value) <= mark.longest:
        bad_field(path, f"text of {mark.shortest} to {mark.longest} characters")
    if mark.pattern is not None and re.fullmatch(mark.pattern, value) is None:
        bad_field(path, f"text of the form {mark.pattern}")
    return value


def _whole(mark: Whole, value: object, path: str) -> object:
    if not isinstance(value, int) or isinstance(value, bool) or not mark.low <= value <= mark.high:
        bad_field(path, f"a whole number from {mark.low} to {mark.high}")
    return value


def _number(mark: Number, value: object, path: str) -> object:
    # An int arrives wherever a browser packs a float without a fraction.
    if isinstance(value, bool) or not isinstance(value, int | float):
        bad_field(path, "a number")
    # Neither "not a number" nor an infinity is between two numbers.
    if not mark.low <= value <= mark.high:
        bad_field(path, f"a number from {mark.low:g} to {mark.high:g}")
    return float(value)


def _octets(mark: Octets, value: object, path: str) -> object:
    if not isinstance(value, bytes) or not 1 <= len(value) <= mark.longest:
        bad_field(path, f"1 to {mark.longest} bytes")
    return value


def _items(mark: Items, check: Check, value: object, path: str) -> object:
    if not isinstance(value, list | tuple) or len(value) > mark.most:
        bad_field(path, f"a list of at most {mark.most}")
    return tuple(check(item, f"{path}[{index}]") for index, item in enumerate(value))
