"""The OpenAPI 3.1 document of the API, served at `/api/openapi.json`.

Written by hand beside the handlers; tests hold each route and each answer against it. Schemas are
JSON Schema 2020-12, with `additionalProperties: false` where an answer is complete. Pages and
their files are not an API and are left out.
"""

from __future__ import annotations

from typing import Any, Final

from aiohttp import web

from classroom.archive.materials import MAX_NAME
from classroom.library import MOST_LIMIT, USUAL_LIMIT
from classroom.tokens import Right, Role
from classroom.wire import LESSON_ID_PATTERN, LessonState, RecordingState

Schema = dict[str, Any]

_DATE: Final[Schema] = {"type": ["number", "null"], "description": "unix seconds"}
_WORDS: Final[Schema] = {"type": ["string", "null"], "maxLength": 60}
_ID: Final[Schema] = {"type": "string", "pattern": f"^{LESSON_ID_PATTERN}$"}
_DIGEST: Final[Schema] = {
    "type": "string",
    "pattern": "^[0-9a-f]{64}$",
    "description": "SHA-256 of a file's bytes",
}


def _object(properties: dict[str, Schema], *, optional: tuple[str, ...] = ()) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


_CHECK: Final = _object({"ok": {"type": "boolean"}, "detail": {"type": "string"}})
_SCHEMAS: Final[dict[str, Schema]] = {
    "Lesson": _object(
        {
            "id": _ID,
            "title": {"type": "string"},
            "subject": _WORDS,
            "grade": _WORDS,
            "school": _WORDS,
            "teacher": {"type": "string"},
            "mine": {"type": "boolean", "description": "planned or started by who asks"},
            "state": {"type": "string", "enum": [state.value for state in LessonState]},
            "planned_at": _DATE,
            "started_at": _DATE,
            "ended_at": _DATE,
            "relay": {"type": ["string", "null"], "description": "public URL of its relay"},
            "publishing": {"type": "boolean", "description": "media arrives now"},
            "rooms": {"type": "integer", "minimum": 0},
            "recording": _object(
                {
                    "state": {"type": "string", "enum": [state.value for state in RecordingState]},
                    "detail": {"type": "string"},
                    "seconds": {"type": "number", "minimum": 0},
                }
            ),
            "materials": {
                "type": ["string", "null"],
                "description": "digest of the list of its files, null without any",
            },
        }
    ),
    "Materials": _object(
        {
            "format": {"type": "integer"},
            "lesson": _ID,
            "materials": {
                "type": "array",
                "items": _object(
                    {
                        "name": {"type": "string", "maxLength": MAX_NAME},
                        "bytes": {"type": "integer", "minimum": 1},
                        "digest": _DIGEST,
                    }
                ),
            },
        }
    ),
    "Lessons": _object(
        {
            "lessons": {"type": "array", "items": _ref("Lesson")},
            "total": {"type": "integer", "description": "all matches, whatever the limit"},
        }
    ),
    "NewLesson": _object(
        {
            "title": {"type": "string", "minLength": 1, "maxLength": 200},
            "subject": _WORDS,
            "grade": _WORDS,
            "school": _WORDS,
            "planned_at": _DATE,
            "id": {**_ID, "description": "chosen by the server if left out"},
        },
        optional=("subject", "grade", "school", "planned_at", "id"),
    ),
    "Started": _object(
        {
            "lesson": _ref("Lesson"),
            "whip": {"type": "string", "description": "WHIP endpoint (RFC 9725)"},
            "token": {"type": "string", "description": "publish token of this lesson"},
            "relay": {"type": "string", "description": "public URL of the relay"},
        }
    ),
    "NewLink": _object(
        {
            "role": {"type": "string", "enum": [Role.ROOM.value, Role.VIEWER.value]},
            "name": {"type": "string", "maxLength": 100},
            "days": {"type": ["number", "null"], "minimum": 0.01, "maximum": 3660},
            "school": {**_WORDS, "description": "whose relay the link leads to: its name or id"},
        },
        optional=("name", "days", "school"),
    ),
    "Link": _object(
        {
            "url": {"type": "string", "description": "page with the token in its fragment"},
            "token": {"type": "string"},
            "expires_at": {"type": "integer", "description": "unix seconds"},
        }
    ),
    "NewRelay": _object(
        {
            "code": {"type": "string", "description": "as `classroom relay-code` printed it"},
            "name": {"type": "string", "maxLength": 60, "description": "the machine's own"},
            "key": {
                "type": "string",
                "maxLength": 100,
                "description": "random; with the same one, a lost answer may be asked for again",
            },
        },
        optional=("name", "key"),
    ),
    "Enrolled": _object(
        {
            "token": {"type": "string"},
            "id": {"type": "string", "description": "the subject of the token"},
            "name": {"type": "string", "description": "the school's, given with the code"},
            "expires_at": {"type": "integer", "description": "unix seconds"},
        }
    ),
    "Me": _object(
        {
            "subject": {"type": "string"},
            "name": {"type": "string"},
            "role": {"type": "string", "enum": [role.value for role in Role]},
            "lesson": {"type": "string", "description": "a lesson id, or * for every lesson"},
            "rights": {
                "type": "array",
                "items": {"type": "string", "enum": [right.value for right in Right]},
            },
            "expires_at": {"type": "integer"},
        }
    ),
    "Relays": _object(
        {
            "relays": {
                "type": "array",
                "items": _object(
                    {
                        "name": {"type": "string"},
                        "url": {"type": "string"},
                        "version": {"type": "string"},
                        "viewers_max": {"type": "integer"},
                        "connected_at": {"type": "number"},
                    }
                ),
            },
            "below": {
                "type": "array",
                "items": _object(
                    {
                        "id": {"type": "string"},
                        "name": {"type": "string", "description": "the school's"},
                        "url": {"type": "string", "description": "where its browsers reach it"},
                        "version": {"type": "string"},
                        "viewers_max": {"type": "integer"},
                        "parent": {"type": "string", "description": "id of its parent relay"},
                    }
                ),
            },
        }
    ),
    "Keys": _object(
        {
            "keys": {
                "type": "array",
                "items": _object(
                    {name: {"type": "string"} for name in ("kty", "crv", "x", "kid", "use", "alg")}
                ),
            }
        }
    ),
    "Health": _object(
        {
            "status": {"type": "string", "enum": ["ok", "failing"]},
            "checks": _object({"records": _CHECK, "live": _CHECK, "relays": _CHECK}),
        }
    ),
    "Problem": _object(
        {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string", "description": "what is wrong, for people"},
            "fix": {"type": "string", "description": "what to do now, for people"},
            "field": {"type": "string", "description": "the part of the request at fault"},
        },
        optional=("field",),
    ),
}

_PROBLEM: Final[Schema] = {
    "description": "A problem document (RFC 9457)",
    "content": {"application/problem+json": {"schema": _ref("Problem")}},
}
_LESSON_PARAMETER: Final[Schema] = {
    "name": "lesson",
    "in": "path",
    "required": True,
    "schema": _ID,
}
_DIGEST_PARAMETER: Final[Schema] = {
    "name": "digest",
    "in": "path",
    "required": True,
    "schema": _DIGEST,
}
_IF_NONE_MATCH: Final[Schema] = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "the ETag of the answer that the caller has",
    "schema": {"type": "string"},
}
_TOKEN_PARAMETER: Final[Schema] = {
    "name": "token",
    "in": "query",
    "required": True,
    "schema": {"type": "string"},
}


def _operation(
    summary: str,
    answers: dict[str, str],
    *,
    body: str | None = None,
    parameters: tuple[Schema, ...] = (),
    open_to_all: bool = False,
    kept: bool = False,
    without_body: str | None = None,
) -> Schema:
    """answers: status → name of the schema of its JSON body. kept: has an ETag, and is not sent
    again to whom it is new no more. without_body: status of an answer without one."""
    operation: Schema = {"summary": summary, "responses": {"default": _PROBLEM}}
    for status, name in answers.items():
        operation["responses"][status] = {
            "description": summary,
            "content": {"application/json": {"schema": _ref(name)}},
        }
    if kept:
        operation["parameters"] = [_IF_NONE_MATCH]
        operation["responses"]["200"]["headers"] = {"ETag": {"schema": {"type": "string"}}}
        operation["responses"]["304"] = {"description": "Nothing changed since that ETag"}
    if without_body is not None:
        operation["responses"][without_body] = {"description": summary}
    if body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": _ref(body)}},
        }
    if parameters:
        operation["parameters"] = [*operation.get("parameters", ()), *parameters]
    if open_to_all:
        operation["security"] = []
    return operation


def _query(name: str, description: str) -> Schema:
    return {
        "name": name,
        "in": "query",
        "required": False,
        "description": description,
        "schema": {"type": "string"},
    }


def _count(name: str, description: str, low: int, high: int | None, usual: int) -> Schema:
    schema: Schema = {"type": "integer", "minimum": low, "default": usual}
    if high is not None:
        schema["maximum"] = high
    return {
        "name": name,
        "in": "query",
        "required": False,
        "description": description,
        "schema": schema,
    }


def _socket(summary: str) -> Schema:
    return {
        "summary": summary,
        "description": "WebSocket; messages as in classroom/wire/PROTOCOL.md.",
        "parameters": [_TOKEN_PARAMETER],
        "security": [],
        "responses": {"101": {"description": "The WebSocket is open"}, "default": _PROBLEM},
    }


def _text(summary: str, content_type: str) -> Schema:
    return {
        "summary": summary,
        "security": [],
        "responses": {
            "200": {"description": summary, "content": {content_type: {"schema": {}}}},
            "default": _PROBLEM,
        },
    }


_ANY_CONTENT: Final[Schema] = {"*/*": {"schema": {}}}


def _file() -> Schema:
    """A file of a lesson as it is, whole or in parts."""
    summary = "A file of the lesson; with ?download to be saved"
    operation = _operation(summary, {}, parameters=_ONE_FILE)
    operation["responses"] |= {
        "200": {"description": summary, "content": _ANY_CONTENT},
        "206": {"description": "The part of it that was asked for", "content": _ANY_CONTENT},
        "304": {"description": "The caller has it"},
        "416": {"description": "It has no such part"},
    }
    return operation


def _upload() -> Schema:
    operation = _operation(
        "Add a file to the lesson: 201, or 200 if it was there; one of the same name is replaced",
        {"200": "Materials", "201": "Materials"},
        parameters=(*_ONE_FILE, {**_query("name", "what people call it"), "required": True}),
    )
    operation["requestBody"] = {"required": True, "content": _ANY_CONTENT}
    return operation


_STATES: Final = ", ".join(state.value for state in LessonState)
_ONE: Final = (_LESSON_PARAMETER,)
_ONE_FILE: Final = (_LESSON_PARAMETER, _DIGEST_PARAMETER)
_PATHS: Final[dict[str, dict[str, Schema]]] = {
    "/api/keys": {"get": _operation("Public signing keys", {"200": "Keys"}, open_to_all=True)},
    "/api/me": {"get": _operation("What my token says", {"200": "Me"})},
    "/api/lessons": {
        "get": _operation(
            "Lessons that I may see: matches in the title first, then the newest",
            {"200": "Lessons"},
            parameters=(
                _query("q", "words, without diacritics if you like"),
                _query("subject", "only this subject"),
                _query("grade", "only this grade"),
                _query("school", "only lessons that this school teaches"),
                _query("state", f"only these, separated by commas: {_STATES}"),
                _count("limit", "at most so many", 1, MOST_LIMIT, USUAL_LIMIT),
                _count("offset", "pass over so many first", 0, None, 0),
            ),
            kept=True,
        ),
        "post": _operation("Plan a lesson", {"201": "Lesson"}, body="NewLesson"),
    },
    "/api/lessons/{lesson}": {
        "get": _operation("One lesson", {"200": "Lesson"}, parameters=_ONE),
        "delete": _operation(
            "Remove a lesson that has not begun", {}, parameters=_ONE, without_body="204"
        ),
    },
    "/api/lessons/{lesson}/start": {
        "post": _operation("Go live", {"200": "Started"}, parameters=_ONE),
    },
    "/api/lessons/{lesson}/end": {
        "post": _operation("End the lesson", {"200": "Lesson"}, parameters=_ONE),
    },
    "/api/lessons/{lesson}/links": {
        "post": _operation(
            "Make a link for a room or a viewer",
            {"201": "Link"},
            body="NewLink",
            parameters=_ONE,
        ),
    },
    "/api/lessons/{lesson}/materials": {
        "get": _operation(
            "Files that go along with the lesson", {"200": "Materials"}, parameters=_ONE, kept=True
        ),
    },
    "/api/lessons/{lesson}/materials/{digest}": {
        "get": _file(),
        "put": _upload(),
        "delete": _operation(
            "Take a file out of the list", {"200": "Materials"}, parameters=_ONE_FILE
        ),
    },
    "/api/relays": {"get": _operation("Relays that are alive", {"200": "Relays"})},
    "/api/relays/enrol": {
        "post": _operation(
            "A token for the code of a school",
            {"200": "Enrolled"},
            body="NewRelay",
            open_to_all=True,
        ),
    },
    "/api/relays/renew": {
        "post": _operation("A new token for an enrolled relay", {"200": "Enrolled"}),
    },
    "/api/events": {"get": _socket("Events for a page")},
    "/api/relay": {"get": _socket("A relay's line to the control plane")},
    "/api/openapi.json": {"get": _text("This document", "application/json")},
    "/healthz": {
        "get": _operation(
            "Whether this process can work", {"200": "Health", "503": "Health"}, open_to_all=True
        ),
    },
    "/metrics": {"get": _text("Prometheus metrics", "text/plain")},
}

DOCUMENT: Final[Schema] = {
    "openapi": "3.1.0",
    "info": {
        "title": "Classroom control plane",
        "version": "1",
        "description": "Every error is a problem document. Dates are unix seconds.",
    },
    "security": [{"token": []}],
    "paths": _PATHS,
    "components": {
        "schemas": _SCHEMAS,
        "securitySchemes": {
            "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT (EdDSA)"}
        },
    },
}


async def document(_request: web.Request) -> web.Response:
    """GET /api/openapi.json."""
    return web.json_response(DOCUMENT)
