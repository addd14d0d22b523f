"""Defaults of flags as people write them."""

from typing import Any


def written(default: Any) -> str:
    """Empty where there is nothing to show."""
    if isinstance(default, tuple):
        return "{}:{}".format(*default)
    return f"{default:g}" if isinstance(default, float) else str(default or "")
