"""Archives of storage directories: written, verified by reading back, compared with their source.

Commits, names and removes nothing: that is the engine's business.

An archive is a PAX tar in one gzip member, with one top directory named like the runner, and a manifest of JSON
lines beside it. Directories, regular files, symbolic links, FIFOs and hard links are members of the archive;
sockets and device nodes stand in the manifest only. GNU tar restores everything, holes and (with `--xattrs`)
extended attributes included.
"""

from metrics_storage.engine.archives.format.compare import compare_source
from metrics_storage.engine.archives.format.manifest import Header
from metrics_storage.engine.archives.format.verify import VerifiedArchive, verify_archive
from metrics_storage.engine.archives.format.writer import ArchiveSummary, write_archive

__all__ = ["ArchiveSummary", "Header", "VerifiedArchive", "compare_source", "verify_archive", "write_archive"]
