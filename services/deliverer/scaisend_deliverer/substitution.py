"""Substitutions: keys of the sender's own making, replaced by text wherever they stand. No pattern, no template, nothing is escaped."""

from __future__ import annotations

from collections.abc import Mapping


def substitute(text: str, substitutions: Mapping[str, str]) -> str:
    """Return `text` with every key replaced by its value, longer keys first. Values are never searched for keys again."""
    if not substitutions:
        return text
    found = sorted((key for key in substitutions if key and key in text), key=lambda key: (-len(key), key))
    if not found:
        return text
    pieces: list[tuple[str, bool]] = [(text, False)]  # and whether it is a value already
    for key in found:
        pieces = [piece for old in pieces for piece in _split(old, key, substitutions[key])]
    return "".join([piece for piece, _ in pieces])


def _split(old: tuple[str, bool], key: str, value: str) -> list[tuple[str, bool]]:
    text, is_value = old
    if is_value or key not in text:
        return [old]
    first, *rest = text.split(key)
    return [(first, False), *(piece for after in rest for piece in ((value, True), (after, False)))]
