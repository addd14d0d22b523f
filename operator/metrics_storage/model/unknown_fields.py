"""Fields of JSON objects that only a newer version knows: kept when an object is read, put back when it is written."""

from collections.abc import Mapping
from typing import Any


def unknown_fields(data: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """What `data` has and `known` has not, at every level of objects that both have."""
    unknown: dict[str, Any] = {}
    for name, value in data.items():
        if name not in known:
            unknown[name] = value
            continue
        own = known[name]
        if isinstance(value, dict) and isinstance(own, dict) and (inner := unknown_fields(value, own)):
            unknown[name] = inner
    return unknown


def with_unknown(known: Mapping[str, Any], unknown: Mapping[str, Any]) -> dict[str, Any]:
    """`known` with the fields that `unknown_fields` found; where both have a value, that of `known` counts."""
    merged = {**unknown, **known}
    for name, value in unknown.items():
        if name in known and isinstance(value, dict) and isinstance(known[name], dict):
            merged[name] = with_unknown(known[name], value)
    return merged
