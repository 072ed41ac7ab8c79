"""Canonical JSON, digests, and reading members of a JSON object one by one, each checked. PURE.

Here: what header, journal, manifest and event log share. Not here: what their members mean.
Every fault is `Refused 400 archive-malformed` with the member's name in `field`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, Final

from classroom.errors import Refused

DIGEST_PATTERN: Final = re.compile(r"[0-9a-f]{64}")
MAX_TEXT: Final = 1_000
MAX_INTEGER: Final = 2**53 - 1
"""The largest number that JSON readers in browsers keep exactly."""


def encode(value: Mapping[str, object]) -> bytes:
    """One line: keys sorted, no spaces, UTF-8, a newline at the end. No floats are written."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode() + b"\n"


def digest(data: bytes) -> str:
    """SHA-256 in lower-case hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def malformed(where: str, what: str) -> Refused:
    return Refused(
        400,
        "archive-malformed",
        f"This archive's file is malformed: {what}.",
        fix="Copy the file again from the relay that holds the archive.",
        field=where,
    )


class Members:
    """A JSON object; each read checks type and range. `where` names it in errors."""

    def __init__(self, value: object, where: str) -> None:
        if not isinstance(value, dict):
            raise malformed(where, f"{where} is not an object")
        self._value: dict[str, Any] = value
        self._where = where

    @classmethod
    def parse(cls, data: bytes, where: str) -> Members:
        try:
            value = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise malformed(where, f"{where} is not JSON") from error
        return cls(value, where)

    def _fault(self, name: str, what: str) -> Refused:
        return malformed(f"{self._where}.{name}", f"{name} is not {what}")

    def has(self, name: str) -> bool:
        return self._value.get(name) is not None

    def integer(self, name: str, low: int = 0, high: int = MAX_INTEGER) -> int:
        value = self._value.get(name)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self._fault(name, f"a whole number in {low} to {high}")
        return value

    def flag(self, name: str) -> bool:
        value = self._value.get(name)
        if not isinstance(value, bool):
            raise self._fault(name, "true or false")
        return value

    def text(self, name: str, pattern: re.Pattern[str] | None = None) -> str:
        value = self._value.get(name)
        if not isinstance(value, str) or len(value) > MAX_TEXT:
            raise self._fault(name, f"a text of at most {MAX_TEXT} characters")
        if pattern is not None and pattern.fullmatch(value) is None:
            raise self._fault(name, f"of the form {pattern.pattern}")
        return value

    def digest(self, name: str) -> str:
        return self.text(name, DIGEST_PATTERN)

    def list(self, name: str) -> list[object]:
        value = self._value.get(name)
        if not isinstance(value, list):
            raise self._fault(name, "a list")
        return value

    def members(self, name: str) -> Members:
        return Members(self._value.get(name), f"{self._where}.{name}")

    def map(self, name: str) -> dict[str, object]:
        value = self._value.get(name)
        if not isinstance(value, dict):
            raise self._fault(name, "an object")
        return value
