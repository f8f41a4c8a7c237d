"""Plain JSON as Python values, and the names that JSON Schema has for their types: SendGrid's answers use them."""

from __future__ import annotations

from typing import TypeAlias

from scaisend_api.problem import ERRORS_PAGE, Problem

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"


def type_name(value: Json) -> str:
    """Return the name of a value's type."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"


def wrong_type(value: Json, expected: str, field: str, anchor: str) -> Problem:
    """Return the problem of a value of another type than `expected` at `field`."""
    return Problem(f"Invalid type. Expected: {expected}, given: {type_name(value)}.", field, ERRORS_PAGE + anchor)
