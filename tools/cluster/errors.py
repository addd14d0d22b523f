"""The one error of this package; its text is meant for the person at the keyboard.

Not responsible for exit codes or pytest outcomes: the command line and the plugin translate it.
"""

from __future__ import annotations

__all__ = ["ClusterError"]


class ClusterError(Exception):
    """A test cluster cannot be chosen, built, started or used; the message says what to do about it."""
