"""Check the subject of a commit message: `python -m tools.hooks.subject FILE`, as git's hook commit-msg does."""

import re
import sys
from pathlib import Path
from typing import Final

LONGEST: Final = 72

_BY_GIT: Final = re.compile(r"(Merge |Revert \"|(fixup|squash|amend)! )")
"""What git itself begins a subject with."""

_NOT_IMPERATIVE: Final = re.compile(r"(Added|Adds|[A-Z]\w+(ed|ing)|Fixes|Makes|Removes|Uses|A|An|The)\b")
_IMPERATIVE: Final = frozenset({"Embed", "Feed", "Need", "Seed", "Shed", "Speed", "Bring", "Ping", "String", "Sing"})


def problems(message: str) -> list[str]:
    """What is wrong with the subject of a commit message, in words."""
    subject = message.partition("\n")[0]
    if _BY_GIT.match(subject):
        return []
    found = []
    first = subject.partition(" ")[0]
    if len(subject) > LONGEST:
        found.append(f"{len(subject)} characters, at most {LONGEST}")
    if not subject[:1].isupper():
        found.append("it begins with a capital letter")
    elif _NOT_IMPERATIVE.match(subject) and first not in _IMPERATIVE:
        found.append(f"it begins with a verb in the imperative, such as Add or Keep, not {first!r}")
    if subject.endswith("."):
        found.append("no full stop at its end")
    return found


def main(path: str) -> int:
    """Say what is wrong; 1 where anything is."""
    message = Path(path).read_text()
    found = problems(message)
    for problem in found:
        print(f"commit subject {message.partition(chr(10))[0]!r}: {problem}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
