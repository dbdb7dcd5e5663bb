"""Every text of a record, however deep it stands, and the record with those texts replaced."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

# Not text: roles are a closed set; ids and the source have rules of their own.
_SKIPPED = frozenset(("role", "id", "group_id", "source"))
_FIELDS: dict[type, tuple[str, ...]] = {}


def _names(kind: type) -> tuple[str, ...]:
    if kind not in _FIELDS:
        _FIELDS[kind] = tuple(item.name for item in fields(kind) if item.name not in _SKIPPED)
    return _FIELDS[kind]


def collect_texts(record: Any) -> list[tuple[str, str]]:
    """(field, text) of every string in a dataclass record: its fields, nested dataclasses, sequences and mappings.

    The field is the top-level name, with the key for mappings (``metadata.topic``), so that counts stay few.
    """
    found: list[tuple[str, str]] = []
    for name in _names(type(record)):
        _collect(getattr(record, name), name, found)
    return found


def _collect(value: Any, field: str, found: list[tuple[str, str]]) -> None:
    if isinstance(value, str):
        found.append((field, value))
    elif isinstance(value, list | tuple):
        for item in value:
            _collect(item, field, found)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            _collect(item, f"{field}.{key}", found)
    elif is_dataclass(value):
        for name in _names(type(value)):
            _collect(getattr(value, name), field, found)


def replace_texts(record: Any, texts: Iterator[str]) -> dict[str, Any]:
    """The changed top-level fields of a record whose texts, in the order of `collect_texts`, become `texts`."""
    changed: dict[str, Any] = {}
    for name in _names(type(record)):
        old = getattr(record, name)
        new = _replace(old, texts)
        if new is not old:
            changed[name] = new
    return changed


def _replace(value: Any, texts: Iterator[str]) -> Any:
    if isinstance(value, str):
        new = next(texts)
        return value if new == value else new
    if isinstance(value, list | tuple):
        items = [_replace(item, texts) for item in value]
        same = all(new is old for new, old in zip(items, value, strict=True))
        return value if same else type(value)(items)
    if isinstance(value, Mapping):
        pairs = {key: _replace(item, texts) for key, item in value.items()}
        return value if all(pairs[key] is value[key] for key in pairs) else pairs
    if is_dataclass(value) and not isinstance(value, type):
        changed = {}
        for name in _names(type(value)):
            old = getattr(value, name)
            new = _replace(old, texts)
            if new is not old:
                changed[name] = new
        return replace(value, **changed) if changed else value
    return value
