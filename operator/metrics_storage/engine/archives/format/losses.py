"""What could not be read of a source for good, in a form that a person's word can refer to.

The digest names every unreadable entry with its errors and with what could be had of it: one more, one less, another
error, or a byte or an attribute less than the person saw is another digest.
"""

import json
from hashlib import sha256

from metrics_storage.engine.archives.format.entry import Entry


class Losses:
    """Adds up entries in the order of the walk."""

    def __init__(self) -> None:
        self._sha256 = sha256()
        self.count = 0
        """Of the entries that could not be read, or not whole."""
        self.complete = True
        """Whether nothing else keeps the archive from being clean, such as a change meanwhile."""
        self.open_ended = False
        """Whether a directory could not be listed to its end, so that what is lost has no names."""

    def add(self, entry: Entry) -> None:
        """Take the next entry."""
        if entry.status == "unreadable":
            self.count += 1
            self._sha256.update(_line_of(entry))
            # How much a directory lacks that cannot be listed to its end is not known, and may become more.
            if entry.type == "directory" and entry.error is not None:
                self.complete, self.open_ended = False, True
        elif entry.status != "ok":
            self.complete = False

    @property
    def sha256(self) -> str | None:
        """Hexadecimal digest; None where everything could be read."""
        return self._sha256.hexdigest() if self.count else None


def _line_of(entry: Entry) -> bytes:
    """All that the manifest says of an entry but where its data lies, which reading alone may change."""
    fields = entry.to_json()
    for name in ("payload", "sparse", "sha256"):
        fields.pop(name, None)
    return json.dumps(fields).encode() + b"\n"
