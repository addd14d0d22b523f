"""What could not be read of a source for good, in a form that a person's word can refer to.

The digest names every unreadable entry with its errors: one more, one less or another error is another digest.
"""

import json
from base64 import b64encode
from hashlib import sha256

from metrics_storage.engine.archive.entry import Entry


class Losses:
    """Adds up entries in the order of the walk."""

    def __init__(self) -> None:
        self._sha256 = sha256()
        self.count = 0
        """Of the entries that could not be read, or not whole."""
        self.complete = True
        """Whether nothing else keeps the archive from being clean, such as a change meanwhile."""

    def add(self, entry: Entry) -> None:
        """Take the next entry."""
        if entry.status == "unreadable":
            self.count += 1
            line = [b64encode(entry.path).decode(), entry.type, entry.error, entry.xattrs_error]
            self._sha256.update(json.dumps(line).encode() + b"\n")
        elif entry.status != "ok":
            self.complete = False

    @property
    def sha256(self) -> str | None:
        """Hexadecimal digest; None where everything could be read."""
        return self._sha256.hexdigest() if self.count else None
