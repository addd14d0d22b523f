"""What an attack is: one life with an intervention at a certain call, and the verdict on what comes of it."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.faults.crash.case import Case
from tests.faults.crash.events import Moment
from tests.faults.crash.history import Violation, places
from tests.faults.crash.lives import LIVES, Life
from tests.faults.crash.supervisor import Run, Zygote

PRIVATE: Final = ".metrics-storage"
DELETE: Final = LIVES["delete"]
QUARANTINE: Final = LIVES["quarantine"]


@dataclass(slots=True)
class Attack:
    """A case under attack."""

    case: Case
    zygote: Zygote

    def place(self, where: str) -> Path:
        """A place of the subject's directory."""
        return places(self.case.history, self.case.history.subjects[0])[where]

    @property
    def incoming(self) -> Path:
        return self.case.history.quarantine / PRIVATE / "incoming"

    def archive(self) -> Path:
        """The committed archive of the subject."""
        (found,) = self.case.history.quarantine.glob(f"*/*{self.case.history.subjects[0].uid}*.tar.gz")
        return found

    def put_foreign(self, path: Path) -> None:
        """Somebody else's directory, which must stay exactly as it is."""
        path.mkdir(parents=True)
        (path / "precious").write_text("not the engine's")
        path.chmod(0o500)
        self.case.watch(path)

    def take_foreign_away(self, path: Path) -> None:
        """Undo it, whatever has become of it."""
        self.case.history.canaries.pop(path, None)
        shutil.rmtree(path, ignore_errors=True)

    def judged(self, run: Run) -> list[Violation]:
        return self.case.judge_calls(run) + self.case.judge()

    def must_refuse(self, run: Run, promise: str, what: str) -> list[Violation]:
        """The run must have stopped with an error, the finalizer in place."""
        if run.ended or "release" in self.case.history.subjects[0].done:
            return [Violation(promise, f"went on although {what}")]
        return self.judged(run)


_Script = Callable[[Attack], list[Violation]]
ATTACKS: Final[dict[str, tuple[Life, _Script]]] = {}


def during(life: Life) -> Callable[[_Script], _Script]:
    """Make the decorated script an attack on this life, named as the function is."""

    def register(script: _Script) -> _Script:
        ATTACKS[script.__name__.lstrip("_").replace("_", " ")] = (life, script)
        return script

    return register


def attempt(name: str, zygote: Zygote, place: Path) -> list[Violation]:
    """Carry out one attack in a new directory below `place`, which is removed afterwards."""
    life, script = ATTACKS[name]
    case = Case(place / "attack", life)
    try:
        case.prepare(zygote)
        return script(Attack(case, zygote))
    finally:
        shutil.rmtree(case.place)


def move(path: Path, to: Path) -> None:
    """Take something away to another place."""
    path.rename(to)


def was_said(moment: Moment, step: str) -> bool:
    """Whether a step was said to be done before this call."""
    return any(message.get("step") == step and message["state"] == "done" for _, message in moment.run.said)
