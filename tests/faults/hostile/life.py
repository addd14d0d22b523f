"""One hostile tree through the whole life of a storage directory, and the judgement of what became of it.

What may become of it is what the design says: archived exactly; recorded as metadata; `clean: false` with the source
kept; refused with a named error and the source kept. Everything else is a violation.
"""

import os
import subprocess
import traceback
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

from metrics_storage.errors import MetricsStorageError, RemovalError, UncleanArchiveError
from metrics_storage.model.identity import Identity, Uid
from metrics_storage.model.record import Phase, Record
from metrics_storage.model.spec import StorageSpec
from tests.faults.crash.checker import judge
from tests.faults.crash.history import History, Subject
from tests.faults.evidence import against_facts, facts, snapshot
from tests.faults.evidence.reading import Reading, manifest_of
from tests.faults.hostile.build import Builder
from tests.faults.hostile.field import NAME, NAMESPACE, REQUESTED, Field, Meanwhile, noting_comparisons
from tests.faults.hostile.plan import Plan
from tests.faults.hostile.writer import Writer

_OWNER: Final = 1000
_MODE: Final = 0o770
_LARGE: Final = 1 << 22
"""Files that are longer take the judges that read them whole too long."""


@dataclass(slots=True)
class Outcome:
    """What became of a tree; `problems` are violations."""

    terms: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)
    entries: int = 0
    lines: dict[bytes, dict[str, object]] = field(default_factory=dict)
    """The manifest, key of the entry to line (see `facts.child_key`)."""
    written_late: bool = False
    """The writer changed something after the last comparison, which nothing can notice."""


class Life:
    """One directory on a field."""

    def __init__(self, field_: Field, seed: int, build: Callable[[int, Builder], None]) -> None:
        self.field = field_
        self.engine = field_.engine
        self.identity = Identity(NAMESPACE, NAME, Uid(str(uuid.UUID(int=Random(seed).getrandbits(128)))))
        self.outcome = Outcome()
        self.facts: facts.Facts = {}
        self.builder = Builder(field_.outside)
        self._seed = seed
        self._build = build
        private = field_.root / "storage" / ".metrics-storage"
        self.live = field_.root / "storage" / NAMESPACE / self.identity.directory_name
        self.frozen = private / "frozen" / self.identity.uid
        self.trash = private / "trash" / self.identity.uid

    def run(
        self,
        *,
        reason: str = "hostile",
        writer: int | None = None,
        snapshot_first: bool = False,
        meanwhile: Meanwhile | None = None,
    ) -> Outcome:
        """Live it to its end; whatever hinders that is taken away when it has done its work.

        Args:
            reason: of the quarantine.
            writer: seed of somebody who writes meanwhile.
            snapshot_first: take a provisional archive of the living directory.
            meanwhile: what is done once, in the middle of a first attempt that must then not be clean.
        """
        try:
            self._live(reason, writer, snapshot_first, meanwhile)
        except MetricsStorageError as exc:
            self._bad(f"stopped with {type(exc).__name__}: {exc}")
        except Exception as exc:
            self._bad(f"stopped with an unnamed error: {''.join(traceback.format_exception(exc)[-3:])}")
        finally:
            self.builder.hindrances.close()
        if self.outcome.problems:
            self._clear()
        self.outcome.problems += self.field.outside.problems()
        return self.outcome

    def _live(self, reason: str, seed: int | None, snapshot_first: bool, meanwhile: Meanwhile | None) -> None:
        engine, identity, hindrances = self.engine, self.identity, self.builder.hindrances
        engine.ensure(identity, StorageSpec(owner=f"{_OWNER}:{_OWNER}", mode=f"{_MODE:04o}"))
        root_fd = os.open(self.live, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self._build(root_fd, self.builder)
            engine.measure(identity)
            engine.latch(identity, reason, REQUESTED)
            if seed is not None:
                mounted = frozenset(name for _, name in hindrances.mounts)
                self._archive_beside(Writer(root_fd, seed, self.field.outside, mounted))
            elif snapshot_first:
                self._require(not self._provisional(engine.snapshot(identity)), "a provisional archive is called clean")
            if meanwhile is not None:
                self._archive_disturbed(meanwhile, root_fd)
            if hindrances.mounts:
                self._archive_mounted()
            self.facts = facts.take(root_fd)
            self._judge_kept("before the last archive")
            self._archive_finally()
        finally:
            os.close(root_fd)
        self._remove()

    def _archive_beside(self, writer: Writer) -> None:
        """Take archives while somebody writes: each is sound, and none that was taken in between is called clean."""
        compared: list[float] = []
        try:
            with noting_comparisons(compared):
                self.engine.snapshot(self.identity)
                for _ in range(2):
                    try:
                        if self.engine.archive(self.identity).phase is Phase.VERIFIED:
                            break
                    except UncleanArchiveError:
                        self.outcome.terms.add("unclean, source kept")
        finally:
            writer.stop()
        self.outcome.written_late = bool(compared) and writer.latest >= compared[-1]
        for archive in self._archives():
            self._read(archive)

    def _archive_disturbed(self, meanwhile: Meanwhile, root_fd: int) -> None:
        """An attempt in the middle of which something happens is not clean, and the source stays."""
        with meanwhile.arranged():
            try:
                record = self.engine.archive(self.identity, lambda size, _: meanwhile.told(size, root_fd))
                self._bad(f"was {record.phase}, although something happened meanwhile")
            except UncleanArchiveError:
                self.outcome.terms.add("unclean, source kept")
        self._require(meanwhile.done, "nothing happened meanwhile")
        self._require(self.frozen.is_dir(), "the source is not kept")

    def _archive_mounted(self) -> None:
        """As long as something is mounted inside, the archive is not clean, and the source stays."""
        for _ in range(2):
            try:
                record = self.engine.archive(self.identity)
                self._bad(f"was {record.phase} with something mounted inside")
                break
            except UncleanArchiveError:
                self.outcome.terms.add("unclean, source kept")
        self._require(self.frozen.is_dir(), "the source is not kept")
        self.builder.hindrances.unmount()

    def _archive_finally(self) -> None:
        record = self.engine.archive(self.identity)
        self._require(record.phase is Phase.VERIFIED, f"is {record.phase}, not Verified")
        archive = record.quarantine.archive if record.quarantine else None
        if archive is None:
            self._bad("is Verified without an archive")
            return
        self._require(archive.clean, "is Verified, but not clean")
        path = self.field.root / "quarantine" / archive.path
        found = self._read(path)
        self._require(found.clean == archive.clean, "the manifest and the journal differ in whether it is clean")
        self.outcome.entries, self.outcome.lines = len(found.entries), found.entries
        if not self.outcome.written_late:
            self.outcome.problems += against_facts.compare(found, self.facts)
            self._judge_kept("after the archive")
            self._judge_with_gnu_tar(path, found)
            if self._is_ordinary(found):
                self._judge_with_checker()
        self.outcome.terms.add("archived exactly")
        if any(not line["stored"] for line in found.entries.values()):
            self.outcome.terms.add("recorded as metadata")

    def _judge_with_gnu_tar(self, path: Path, found: Reading) -> None:
        aside = self.field.root / "aside"
        self.outcome.problems += against_facts.extract(path, found, self.facts, aside)
        if all(fact.size <= _LARGE for fact in self.facts.values()) and not self._is_deep(found):
            top = aside / NAME
            self.frozen.rename(top)
            try:
                self.outcome.problems += against_facts.diff(path, top)
            finally:
                top.rename(self.frozen)

    def _judge_with_checker(self) -> None:
        content = snapshot.take(self.frozen)
        subject = Subject(NAMESPACE, NAME, self.identity.uid, _OWNER, _MODE, content=content)
        subject.begun = {"archive"}
        history = History(self.field.root / "storage", self.field.root / "quarantine", [subject])
        self.outcome.problems += [f"checker: {violation}" for violation in judge(history)]

    def _remove(self) -> None:
        engine, identity, hindrances = self.engine, self.identity, self.builder.hindrances
        if hindrances.flagged:
            try:
                engine.remove(identity)
                self._bad("removed what cannot be changed")
            except RemovalError:
                self.outcome.terms.add("refused, source kept")
            self._require(self.trash.is_dir(), "what resists removal is not in the trash")
            hindrances.unflag()
        record = engine.remove(identity)
        self._require(record.phase is Phase.GONE, f"is {record.phase}, not Gone")
        for place in (self.live, self.frozen, self.trash):
            self._require(not os.path.lexists(place), f"{place} is still there")
        engine.forget(identity.uid)
        for archive in self._archives():
            archive.unlink()
            manifest_of(archive).unlink()

    def _clear(self) -> None:
        """After a violation: have the next life find nothing of this one."""
        for place in (self.live, self.frozen, self.trash):
            subprocess.run(["rm", "-rf", "--one-file-system", place], check=False)
        (self.field.root / "storage" / ".metrics-storage" / "journal" / f"{self.identity.uid}.json").unlink(
            missing_ok=True
        )

    def _judge_kept(self, when: str) -> None:
        """The source is as it was: the engine changes nothing in it."""
        fd = os.open(self.frozen if self.frozen.exists() else self.live, os.O_RDONLY | os.O_DIRECTORY)
        try:
            problems = facts.differences(self.facts, facts.take(fd))
        finally:
            os.close(fd)
        self.outcome.problems += [f"source {when}: {text}" for text in problems]

    def _read(self, archive: Path) -> Reading:
        found = against_facts.read(archive, self.field.forbidden)
        self.outcome.problems += [f"{archive.name}: {text}" for text in found.problems]
        self._require(archive.stat().st_mode & 0o777 == 0o600, f"{archive.name} can be read by others")
        return found

    def _archives(self) -> list[Path]:
        return sorted((self.field.root / "quarantine" / NAMESPACE).glob(f"{NAME}_{self.identity.uid}_*.tar.gz"))

    def _provisional(self, record: Record) -> bool:
        provisional = record.quarantine.provisional if record.quarantine else None
        return provisional is None or provisional.clean

    def _is_deep(self, found: Reading) -> bool:
        return any(b"~" in path.split(b"/", 1)[0] for path in found.paths)

    def _is_ordinary(self, found: Reading) -> bool:
        """Whether the judge of ordinary trees, who reads everything into memory, can tell something of it."""
        return not self._is_deep(found) and sum(fact.size for fact in self.facts.values()) <= _LARGE

    def _require(self, holds: bool, what: str) -> None:
        if not holds:
            self._bad(what)

    def _bad(self, what: str) -> None:
        self.outcome.problems.append(what)


def live_plan(field_: Field, plan: Plan, seed: int) -> Outcome:
    """The whole life of a planned tree."""
    life = Life(field_, seed, lambda fd, builder: builder.build(fd, plan.nodes))
    return life.run(reason=plan.reason, writer=plan.writer, snapshot_first=plan.snapshot)
