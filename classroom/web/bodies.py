"""What requests carry: tokens and JSON bodies; each failure names its field.

A body is declared as a frozen dataclass with the marks of `classroom.wire.fields`, as messages
are. Here is no meaning: handlers decide what a body asks for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, TypeVar, cast

from aiohttp import web

from classroom.errors import Refused, require_body
from classroom.tokens import Claims, Role, Verifier
from classroom.wire.fields import Number, read
from classroom.wire.messages import Date, Label, LessonId, PersonName, Title

_Body = TypeVar("_Body")


@dataclass(frozen=True, slots=True)
class NewLesson:
    """POST /api/lessons. school: the one that teaches, by the settings if left out. `id` is chosen
    by the server if left out."""

    title: Title
    subject: Label | None = None
    grade: Label | None = None
    school: Label | None = None
    planned_at: Date | None = None
    id: LessonId | None = None


@dataclass(frozen=True, slots=True)
class NewLink:
    """POST /api/lessons/{id}/links. school: whose relay the room's link leads to."""

    role: Role
    name: PersonName = ""
    school: Label | None = None
    days: Annotated[float, Number(0.01, 3660.0)] | None = None


def bearer(request: web.Request) -> str:
    """The token of the Authorization header (RFC 6750), "" if there is none."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def claims_of(request: web.Request, verifier: Verifier, now: float) -> Claims:
    """Who asks, by the Authorization header; raises Refused 401."""
    return verifier.verify(bearer(request), now)


def socket_claims(request: web.Request, verifier: Verifier, now: float) -> Claims:
    """Who opens a WebSocket, by `?token=` (a browser cannot set its headers) or the header."""
    return verifier.verify(request.query.get("token", "") or bearer(request), now)


async def json_body(request: web.Request, cls: type[_Body]) -> _Body:
    """The request's JSON body as `cls`.

    Raises Refused 415 media-type-unsupported, 400 body-malformed or field-invalid; 413 is
    aiohttp's. Spaces around texts are taken off.
    """
    require_body(request.content_type, request.headers, "application/json")
    raw = await request.read()
    try:
        body = json.loads(raw)
    # RecursionError: a body of nested brackets.
    except (ValueError, RecursionError) as error:
        raise Refused(
            400,
            "body-malformed",
            "The body is not valid JSON.",
            fix="Send one JSON object in UTF-8.",
            field="body",
        ) from error
    return checked(body, cls)


def checked(body: object, cls: type[_Body]) -> _Body:
    """`body` as `cls`; raises Refused 400 field-invalid."""
    if not isinstance(body, Mapping):
        raise _invalid("body", "an object")
    known = {field.name for field in fields(cls)}  # type: ignore[arg-type]  # all are dataclasses
    cleaned: dict[str, object] = {}
    for name, value in body.items():
        if name not in known:
            raise _invalid(str(name)[:60] or "body", "left out: it is unknown here")
        cleaned[name] = _plain(name, value)
    try:
        return cast(_Body, read(cls, cleaned))
    except Refused as error:
        expected = error.detail.partition(" must be ")[2].rstrip(".")
        raise _invalid(error.field or "body", expected) from error


def _plain(name: str, value: object) -> object:
    """`value` without outer spaces if it is text; control characters and half pairs are refused."""
    if not isinstance(value, str):
        return value
    if any(
        ord(letter) < 32 or ord(letter) == 127 or 0xD800 <= ord(letter) < 0xE000 for letter in value
    ):
        raise _invalid(name, "plain text in one line")
    return value.strip()


def _invalid(field: str, expected: str) -> Refused:
    return Refused(
        400,
        "field-invalid",
        f"{field} must be {expected}.",
        fix="Correct this field and send the request again.",
        field=field,
    )
