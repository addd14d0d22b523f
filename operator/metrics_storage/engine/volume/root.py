"""What may lie at the root of a directory that is to become a volume."""

from typing import Final

from metrics_storage.engine.fs import durable

PRIVATE: Final = ".metrics-storage"
"""The directory of ours at the root of a volume."""

UNFINISHED: Final = f"{PRIVATE}.new-"
"""What the name of one begins with that is still being made, or was left so."""

STORAGE_SYSTEM_NAMES: Final = frozenset(
    (
        *("lost+found", "quota.user", "quota.group", "aquota.user", "aquota.group"),
        *(".snapshot", ".snapshots", "~snapshot", ".zfs", ".glusterfs", ".trashcan"),
        *("System Volume Information", "$RECYCLE.BIN"),
    )
)
"""What file systems and storage systems put there by themselves."""

_NAMED: Final = 5


def content_of(fd: int) -> list[str]:
    """Names in an open directory that are of no storage system and of no interrupted attempt of ours."""
    return sorted(
        name
        for name in durable.list_directory(fd)
        if name not in STORAGE_SYSTEM_NAMES and not name.startswith(UNFINISHED)
    )


def named(content: list[str]) -> str:
    """The first few names, for people."""
    return ", ".join(map(ascii, content[:_NAMED])) + (", ..." if len(content) > _NAMED else "")
