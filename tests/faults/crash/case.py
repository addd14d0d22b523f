"""One case: two volumes with neighbours on them, a life to live there, and the history it is judged by.

Plays the runner, who fills the directory, and the controller, who remembers what it asked for and was told.
"""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Self

from tests.faults.crash.checker import judge
from tests.faults.crash.events import Event, undisturbed
from tests.faults.crash.footprints import judge_calls
from tests.faults.crash.history import History, Subject, Violation, places
from tests.faults.crash.ledger import Ledger
from tests.faults.crash.lives import BROKEN, HOLDER_MODE, MODE, MOVING, NAME, NAMESPACE, OWNER, STRANGER, UIDS, Life
from tests.faults.crash.supervisor import Run, Zygote
from tests.faults.evidence import snapshot

_BEFORE: Final = 1_600_000_000 * 10**9 + 123_456_789
"""When the runner last wrote, in ns; with a fraction, which plain tar headers cannot hold."""

_PRIVATE: Final = ".metrics-storage"
_COPY: Final = "read-only copy"


class Case:
    """A life on volumes of its own below `place`, a new directory."""

    def __init__(
        self,
        place: Path,
        life: Life,
        *,
        volumes: tuple[Path, Path] | None = None,
        durable: Callable[[], None] = lambda: None,
        noreplace: bool = True,
        subvolumes: bool = False,
    ) -> None:
        """Make the directories.

        Args:
            place: a new directory.
            life: what will be asked for.
            volumes: directories to make the two volumes of, where they are not to be below `place`.
            durable: makes durable what is not the engine's work; called after that was done.
            noreplace: whether the volumes can rename without replacing.
            subvolumes: whether they are on btrfs, where the runner makes subvolumes in its directory.
        """
        self.life = life
        self.place = place
        self._durable = durable
        self._noreplace = noreplace
        self._subvolumes = subvolumes
        self._moved: set[int] = set()
        self._released: set[int] = set()
        self._runs = 0
        self.runs: list[Run] = []
        storage, quarantine = volumes or (place / "storage", place / "quarantine")
        for path in (storage, quarantine, place / "outside"):
            path.mkdir(parents=True)
        subjects = [
            Subject(NAMESPACE, NAME, uid, OWNER, MODE, holder_mode=HOLDER_MODE) for uid in UIDS[: len(life.ends)]
        ]
        if life.broken:
            for subject in subjects:
                subject.broken = BROKEN
        self.history = History(storage, quarantine, subjects)
        self.ledger = Ledger(storage, quarantine)
        (place / "outside" / "secret").write_text("nobody's business")

    def prepare(self, zygote: Zygote) -> None:
        """Initialise the volumes and put others' files on them, where the life wants that."""
        if self.life.prepared:
            zygote.run(self.job(()), fill=self.fill)
            storage, quarantine = self.history.storage, self.history.quarantine
            others = (
                storage / NAMESPACE / f"{NAME}_{STRANGER}",
                storage / _PRIVATE / "trash" / STRANGER,
                storage / _PRIVATE / "frozen" / STRANGER,
            )
            for path in others:
                path.mkdir(parents=True)
                (path / "metrics.json").write_text(f"{path.name} is not yours")
                # Whoever removes things unasked would first give itself this permission.
                path.chmod(0o500)
            (storage / NAMESPACE).chmod(HOLDER_MODE)
            (quarantine / NAMESPACE).mkdir(mode=0o700)
            older = quarantine / NAMESPACE / f"{NAME}_{STRANGER}_1.tar.gz"
            older.write_text("older evidence")
            for path in (*others, older):
                self.watch(path)
        self.watch(self.place / "outside")
        self._durable()

    def remove(self) -> None:
        """Remove all of it."""
        if self._subvolumes:
            for copy in self.place.rglob(_COPY):
                _btrfs("property", "set", copy, "ro", "false")
        shutil.rmtree(self.place)

    def watch(self, path: Path) -> None:
        """From now on, this belongs to somebody else."""
        self.history.canaries[path] = snapshot.take(path)

    def live(self, zygote: Zygote, event: Event = undisturbed, *, tries: int = 3, reading: bool = False) -> Run:
        """Live the life from where it stopped; what happens is added to the history."""
        again = self.life.instead if self._runs and self.life.instead else self.life.steps
        self._runs += 1
        run = zygote.run(self.job(again, tries), fill=self.fill, event=event, reading=reading)
        self.runs.append(run)
        for _, message in run.said:
            self.hear(message)
        return run

    def restart(self) -> Self:
        """Forget that the finalizer was released, so that more can be asked."""
        self._released.clear()
        return self

    def judge(self, *, converged: bool = False, gnu_tar: bool = False) -> list[Violation]:
        """Disk as it is, judged by the history."""
        return judge(self.history, ends=self.life.ends if converged else (), gnu_tar=gnu_tar)

    def judge_calls(self, run: Run) -> list[Violation]:
        """What a run did on the way, judged by its calls."""
        return judge_calls(run, self.history, noreplace=self._noreplace) + self.ledger.judge(run)

    def converge(
        self, zygote: Zygote, event: Event = undisturbed, *, gnu_tar: bool = False, calls: bool = True
    ) -> list[Violation]:
        """Live on without faults until the end, and judge disk and calls; more than one run is one too many."""
        run = self.live(zygote, event)
        found = self.judge_calls(run) if calls else []
        if not run.ended:
            state = "hung" if run.hung else f"stopped: {'; '.join(run.errors[-1:])}"
            found.append(Violation("P9", f"the rerun {state}"))
        elif run.errors:
            found.append(Violation("P9", f"the rerun needed several tries: {'; '.join(run.errors)}"))
        return found + self.judge(converged=run.ended, gnu_tar=gnu_tar)

    def fill(self, who: int) -> None:
        """Be the runner: write into the directory, once."""
        subject = self.history.subjects[who]
        if subject.content is not None:
            return
        root = self.history.storage / subject.namespace / subject.title
        _write_content(root, self.place / "outside")
        if self._subvolumes:
            _make_subvolumes(root)
        self.settle(who)

    def settle(self, who: int = 0) -> None:
        """Take what a directory holds now, wherever it is, for what the runner left."""
        subject = self.history.subjects[who]
        (where,) = [path for path in places(self.history, subject).values() if path.is_dir()]
        self._durable()
        subject.content = snapshot.take(where)

    def job(self, steps: tuple[str, ...], tries: int = 3) -> dict[str, Any]:
        """What a process is told that lives on from here."""
        return {
            "steps": steps,
            "storage": str(self.history.storage),
            "quarantine": str(self.history.quarantine),
            "moved": sorted(self._moved),
            "released": sorted(self._released),
            "reason": f"reason of run {self._runs}",
            "tries": tries,
            "broken": self.life.broken,
        }

    def hear(self, message: dict[str, Any]) -> None:
        """Remember what the driver said was begun or done."""
        if "step" not in message:
            return
        action, who = message["step"], message["who"]
        if who >= len(self.history.subjects):
            return
        subject = self.history.subjects[who]
        if message["state"] == "begun":
            subject.begun.add(action)
            if action in MOVING:
                self._moved.add(who)
        elif message["state"] == "done":
            subject.done.add(action)
            if action == "release":
                self._released.add(who)
            quarantine = (message["record"] or {}).get("quarantine")
            if quarantine:
                subject.reason = subject.reason or quarantine["reason"]
                subject.archive = subject.archive or quarantine["archive"]


def _make_subvolumes(root: Path) -> None:
    """One with a directory, one in it, and a snapshot of it that nobody may write to."""
    for name in ("volume", "volume/inner"):
        _btrfs("subvolume", "create", root / name)
        (root / name / "directory").mkdir()
        (root / name / "directory" / "trace").write_text(name)
    _btrfs("subvolume", "snapshot", "-r", root / "volume", root / _COPY)


def _btrfs(*arguments: str | Path) -> None:
    subprocess.run(["btrfs", *arguments], check=True, capture_output=True)


def _write_content(root: Path, outside: Path) -> None:
    (root / "metrics.json").write_text('{"state": "failed", "seconds": 12.5')
    (root / "job.log").write_bytes(os.urandom(300_000))
    (root / BROKEN).write_text("lies where the disk may be broken")
    (root / "empty").touch()
    (root / "nested" / "deeper").mkdir(parents=True)
    (root / "nested" / "deeper" / "trace").write_text("x" * 5_000)
    (root / "nothing").mkdir()
    (root / "to-secret").symlink_to(outside / "secret")
    (root / "to-outside").symlink_to(outside)
    (root / "dangling").symlink_to("nowhere")
    os.mkfifo(root / "pipe")
    os.link(root / "metrics.json", root / "nested" / "same")
    (root / os.fsdecode(b"new\nline \xff\x1b[31m")).write_text("odd name")
    with open(root / "sparse", "wb") as file:
        file.seek(1 << 20)
        file.write(b"data after a hole")
        file.truncate(2 << 20)
    (root / "unreadable").write_text("mode 0")
    (root / "unreadable").chmod(0)
    for path in sorted(root.rglob("*"), reverse=True):
        os.chown(path, OWNER, OWNER, follow_symlinks=False)
        os.utime(path, ns=(_BEFORE, _BEFORE), follow_symlinks=False)
    os.utime(root, ns=(_BEFORE, _BEFORE))
