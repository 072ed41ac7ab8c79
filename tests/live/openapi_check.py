"""Holds answers against the OpenAPI document: the part of JSON Schema that the document uses.

Here are no tests; `tests.live.central` runs every answer of the API through `problem_with`.
"""

from __future__ import annotations

import re
from typing import Any

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
_KNOWN = {
    "type",
    "enum",
    "pattern",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "description",
    "$ref",
}


def problem_with(value: Any, schema: dict[str, Any], schemas: dict[str, Any]) -> str | None:
    """What is wrong with `value` by `schema`, or None. Raises for a keyword it does not know."""
    assert set(schema) <= _KNOWN, set(schema) - _KNOWN
    if "$ref" in schema:
        schema = schemas[schema["$ref"].rpartition("/")[2]]
    if "type" in schema:
        names = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
        if not any(_is_of(value, name) for name in names):
            return f"{value!r} is not of type {names}"
    if "enum" in schema and value not in schema["enum"]:
        return f"{value!r} is not one of {schema['enum']}"
    if isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
        return f"{value!r} does not match {schema['pattern']}"
    if isinstance(value, int | float) and value < schema.get("minimum", value):
        return f"{value} is below {schema['minimum']}"
    if isinstance(value, dict):
        return _members(value, schema, schemas)
    if isinstance(value, list) and "items" in schema:
        for item in value:
            if problem := problem_with(item, schema["items"], schemas):
                return problem
    return None


def _is_of(value: Any, name: str) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    return isinstance(value, _TYPES[name])


def _members(value: dict[str, Any], schema: dict[str, Any], schemas: dict[str, Any]) -> str | None:
    properties = schema.get("properties", {})
    for name in schema.get("required", ()):
        if name not in value:
            return f"{name} is missing"
    for name, member in value.items():
        if name in properties:
            if problem := problem_with(member, properties[name], schemas):
                return f"{name}: {problem}"
        elif schema.get("additionalProperties") is False:
            return f"{name} is not described"
    return None
