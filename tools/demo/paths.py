"""Paths as a person would type them."""

from __future__ import annotations

import shlex
from pathlib import Path

__all__ = ["shown"]


def shown(path: Path) -> str:
    """The path for a command line: `~` for the home directory, quoted where it has to be."""
    home = Path.home()
    if path.is_relative_to(home):
        return f"~/{shlex.quote(str(path.relative_to(home)))}"
    return shlex.quote(str(path))
