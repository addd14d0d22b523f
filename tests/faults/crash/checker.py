"""The independent judge: whether what is on disk keeps the promises P1 to P10, given what was asked and said.

Imports nothing of the engine; it knows the layout of the two volumes from the design (section 5) and reads the
journal as plain JSON. P8 and the parts of P2 to P4 that leave no trace on disk are judged from the calls, in
`footprints`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tests.faults.crash.history import PRIVATE, History, Subject, Violation, journal_of, places
from tests.faults.crash.lives import MOVING
from tests.faults.evidence import against_snapshot, snapshot
from tests.faults.evidence.against_snapshot import Evidence
from tests.faults.evidence.reading import ARCHIVE, manifest_of
from tests.faults.evidence.snapshot import Snapshot

_REMOVABLE: Final = ("Condemned", "Gone")
_ARCHIVED: Final = ("Verified", *_REMOVABLE)


def judge(history: History, *, ends: tuple[str, ...] = (), gnu_tar: bool = False) -> list[Violation]:
    """All broken promises.

    Args:
        history: what happened so far.
        ends: what became of each subject, once everything has converged: provisioned, gone, retained, or
            several of these with `or` between.
        gnu_tar: let GNU tar restore each archive too, and compare.
    """
    found = list(_judge_archives(history))
    archives = _archives(history)
    for subject in history.subjects:
        found += _Judgement(history, subject, archives, gnu_tar=gnu_tar).all()
    for path, was in history.canaries.items():
        found += [Violation("P4", f"{path}: {text}") for text in snapshot.differences(was, snapshot.take(path))]
    if ends:
        for subject, end in zip(history.subjects, ends, strict=True):
            found += _judge_end(history, subject, end)
        found += _judge_leftovers(history)
    return found


class _Judgement:
    """The case of one subject."""

    def __init__(self, history: History, subject: Subject, archives: list[Path], *, gnu_tar: bool) -> None:
        self._subject = subject
        self._history = history
        self._gnu_tar = gnu_tar
        self._journal = journal_of(history, subject)
        self._places = places(history, subject)
        self._found = {place: snapshot.take(path) for place, path in self._places.items() if path.is_dir()}
        self._archives = [against_snapshot.read(path) for path in archives if subject.uid in path.name]

    def all(self) -> Iterator[Violation]:
        if isinstance(self._journal, str):
            yield Violation("P9", self._journal)
            return
        yield from self._made()
        yield from self._latch()
        yield from self._evidence()
        yield from self._removal()
        yield from self._release()

    @property
    def _phase(self) -> str:
        assert not isinstance(self._journal, str)
        return self._journal["phase"] if self._journal else ""

    @property
    def _quarantine(self) -> dict[str, Any] | None:
        assert not isinstance(self._journal, str)
        return self._journal["quarantine"] if self._journal else None

    def _made(self) -> Iterator[Violation]:
        """P9: what was said to be made is there; P5: it is not forgotten while it stands."""
        subject = self._subject
        resting = "create" in subject.done and not MOVING & subject.begun
        if resting and (self._phase != "Provisioned" or "live" not in self._found):
            yield Violation("P9", f"{subject.title} was made, but is {self._phase or 'unknown'}")
        if "create" in subject.done and self._journal is None and self._found:
            yield Violation("P5", f"{subject.title} is in {sorted(self._found)}, but the journal has forgotten it")

    def _latch(self) -> Iterator[Violation]:
        """P6: once said, the latch stays, and so does its reason."""
        subject, quarantine = self._subject, self._quarantine
        if quarantine is not None:
            if subject.reason is not None and quarantine["reason"] != subject.reason:
                yield Violation("P6", f"reason {subject.reason!r} became {quarantine['reason']!r}")
            subject.reason = quarantine["reason"] if subject.reason is None else subject.reason
        elif subject.reason is not None and not (self._journal is None and "forget" in subject.begun):
            yield Violation("P6", f"the latched quarantine of {subject.title} is not in the journal any more")

    def _evidence(self) -> Iterator[Violation]:
        """P1 and P10: the source is whole, or an archive of all of it is committed and journalled."""
        subject, content = self._subject, self._subject.content
        if content is None:
            return
        problems = {place: snapshot.differences(content, found) for place, found in self._found.items()}
        whole = any(not differing for differing in problems.values())
        archived = [archive for archive in self._archives if not self._differs(archive, content)]
        if subject.reason is not None:
            if not whole and not archived:
                yield Violation("P1", f"{subject.title} was latched, but {self._describe(problems, content)}")
            if self._phase in _ARCHIVED:
                yield from self._journalled(archived)
            if self._phase in _REMOVABLE and not archived:
                yield Violation("P1", f"{subject.title} is {self._phase} without an archive that holds all of it")
        elif not whole and not {"remove", "retain"} & subject.begun:
            yield Violation("P7", f"nobody asked to remove it, but {self._describe(problems, content)}")
        if not whole and self._phase not in _REMOVABLE and not (self._journal is None and "forget" in subject.begun):
            yield Violation("P2", f"{subject.title} is {self._phase}, but {self._describe(problems, content)}")
        for archive in self._archives:
            if archive.clean and (differing := archive.problems + against_snapshot.compare(archive, content)):
                yield Violation("P10", f"{archive.path.name} is called clean, but: {'; '.join(differing[:3])}")

    def _journalled(self, archived: list[Evidence]) -> Iterator[Violation]:
        quarantine = self._quarantine
        said = quarantine["archive"] if quarantine else None
        if said and not said["clean"] and not (quarantine and quarantine.get("accepted_losses") and self._subject.lost):
            yield Violation("P1", f"the journal calls an unclean archive, {said['path']}, the one to remove it for")
        if not said:
            yield Violation("P1", f"{self._subject.title} is {self._phase}, but the journal names no archive")
            return
        digests = (said["sha256"], said["manifest_sha256"])
        if not any(digests == (archive.sha256, archive.manifest_sha256) for archive in archived):
            intact = any(not snapshot.differences(self._subject.content or {}, found) for found in self._found.values())
            if not intact or self._phase in _REMOVABLE:
                yield Violation("P1", f"the archive that the journal names, {said['path']}, is not the one on disk")
        if self._subject.archive is not None and said != self._subject.archive:
            yield Violation("P3", f"the journal's archive became {said}, was {self._subject.archive}")
        self._subject.archive = said

    def _differs(self, archive: Evidence, content: Snapshot) -> list[str]:
        lost = self._subject.lost
        problems = archive.problems + against_snapshot.compare(archive, content, lost=lost)
        if self._gnu_tar and not problems:
            problems = against_snapshot.extract_with_gnu_tar(archive.path, content, lost=lost)
        return problems

    def _removal(self) -> Iterator[Violation]:
        """P2: what is in trash is the inode that the journal knows; nothing is in two places."""
        if len(self._found) > 1:
            yield Violation("P2", f"{self._subject.title} is in {sorted(self._found)} at once")
        trash = self._found.get("trash")
        if trash is None:
            return
        assert not isinstance(self._journal, str)
        if self._journal is None:
            yield Violation("P2", f"{self._subject.title} is in trash without a journal entry")
        elif self._journal["inode"] not in (None, trash["."].inode):
            yield Violation("P2", f"trash holds inode {trash['.'].inode}, the journal says {self._journal['inode']}")

    def _release(self) -> Iterator[Violation]:
        """P5: the finalizer went only for what is gone or was left to its owner."""
        subject = self._subject
        if "release" not in subject.done:
            return
        if self._phase == "Retained":
            if subject.content and snapshot.differences(subject.content, self._found.get("live", {})):
                yield Violation("P5", f"{subject.title} was left to its owner, but is not whole at its place")
        elif self._found:
            yield Violation("P5", f"the finalizer is released, but {subject.title} is in {sorted(self._found)}")
        elif self._phase not in ("Gone", ""):
            yield Violation("P5", f"the finalizer is released, but {subject.title} is {self._phase}")

    def _describe(self, problems: dict[str, list[str]], content: Snapshot) -> str:
        if not problems:
            source = "its source is nowhere"
        else:
            source = "; ".join(f"in {place} {', '.join(differing[:3])}" for place, differing in problems.items())
        archives = [
            f"{archive.path.name}: {'; '.join(self._differs(archive, content)[:3])}" for archive in self._archives
        ]
        return f"{source}, and {' / '.join(archives) or 'there is no archive'}"


def _archives(history: History) -> list[Path]:
    known = [path for path in history.quarantine.glob(f"*/*{ARCHIVE}") if path not in history.canaries]
    return sorted(path for path in known if path.parent.name != PRIVATE)


def _judge_archives(history: History) -> Iterator[Violation]:
    """P3: what was seen under a final name is there, as it was; P10: an archive never stands without its manifest."""
    now: dict[str, tuple[int, int, str]] = {}
    for path in history.quarantine.glob("*/*"):
        if path.parent.name != PRIVATE and path.is_file():
            status = path.stat()
            now[str(path)] = status.st_ino, status.st_mtime_ns, snapshot.digest(path)
    for name, was in history.committed.items():
        if now.get(name) != was:
            yield Violation("P3", f"{name} is {now.get(name, 'not there any more')}, was {was}")
    history.committed.update(now)
    for path in _archives(history):
        if not manifest_of(path).is_file():
            yield Violation("P10", f"{path} has no manifest")


def _judge_end(history: History, subject: Subject, end: str) -> Iterator[Violation]:
    """P9: everything is as it was asked for."""
    journal = journal_of(history, subject)
    standing = sorted(place for place, path in places(history, subject).items() if path.exists())
    phase = journal["phase"] if isinstance(journal, dict) else ""
    is_end = {
        "provisioned": phase == "Provisioned" and standing == ["live"],
        "gone": phase in ("Gone", "") and not standing,
        "retained": phase == "Retained" and standing == ["live"],
    }
    if not any(is_end[choice] for choice in end.split(" or ")):
        yield Violation("P9", f"{subject.title} should be {end}, but is {phase or 'unknown'} and in {standing}")
    live = places(history, subject)["live"]
    if end == "provisioned" and live.is_dir():
        status = live.stat()
        if (status.st_uid, status.st_gid, status.st_mode & 0o7777) != (subject.owner, subject.owner, subject.mode):
            yield Violation("P9", f"{live} has owner {status.st_uid} and mode {status.st_mode:o}")
        if live.parent.stat().st_mode & 0o7777 != subject.holder_mode:
            yield Violation("P9", f"{live.parent} has mode {live.parent.stat().st_mode:o}")


def _judge_leftovers(history: History) -> Iterator[Violation]:
    """P9: no temporary file, half archive or stray directory is left."""
    kept = {path.relative_to(history.storage) for path in history.canaries if path.is_relative_to(history.storage)}
    private = history.storage / PRIVATE
    uids = {subject.uid for subject in history.subjects}
    for holder in ("journal", "frozen", "trash"):
        for path in (private / holder).iterdir() if (private / holder).is_dir() else ():
            if path.relative_to(history.storage) not in kept and not (holder == "journal" and path.stem in uids):
                yield Violation("P9", f"{path} was left behind")
    for path in (history.quarantine / PRIVATE / "incoming").glob("*"):
        yield Violation("P9", f"{path} was left behind")
