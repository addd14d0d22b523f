"""What the world does to the engine besides killing it: corrupts, replaces, unmounts, gets in the way.

Each attack is one life with an intervention at a certain call. The real engine must refuse or take it in its
stride; each exists because some mutant is only noticed by it.
"""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.faults import events
from tests.faults.calls import OPENS, RENAMES
from tests.faults.case import Case
from tests.faults.checker import Violation, journal_of, places
from tests.faults.events import Moment
from tests.faults.forgery import FORGERIES, Forger
from tests.faults.lives import LIVES, STRANGER, Life
from tests.faults.supervisor import Run, Zygote

_PRIVATE: Final = ".metrics-storage"
_DELETE: Final = LIVES["delete"]
_QUARANTINE: Final = LIVES["quarantine"]


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
        return self.case.history.quarantine / _PRIVATE / "incoming"

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


def _attack(life: Life) -> Callable[[_Script], _Script]:
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


def _reads(moment: Moment, ending: str) -> bool:
    return moment.call.name in OPENS and not moment.call.writable and moment.call.path.endswith(ending)


def _is_half_read(moment: Moment) -> bool:
    """Whether the archive is being written: names were listed, and an entry in the middle is opened."""
    return _reads(moment, "/metrics.json") and "/frozen/" in moment.call.path


def _move(path: Path, to: Path) -> None:
    path.rename(to)


def _was_said(moment: Moment, step: str) -> bool:
    return any(message.get("step") == step and message["state"] == "done" for _, message in moment.run.said)


def _flip(path: Path) -> None:
    """A bit that rots, in the middle of a file, and that no time of modification tells of."""
    status = path.stat()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@_attack(_QUARANTINE)
def _archive_rots_while_it_is_written(attack: Attack) -> list[Violation]:
    event = events.before(
        lambda moment: _reads(moment, ".tar.gz") and "incoming" in moment.call.path,
        lambda moment: _flip(Path(moment.call.path)),
    )
    run = attack.case.live(attack.zygote, event, reading=True)
    return attack.judged(run) + attack.case.converge(attack.zygote)


@_attack(_QUARANTINE)
def _manifest_rots_while_it_is_written(attack: Attack) -> list[Violation]:
    event = events.before(
        lambda moment: _reads(moment, ".jsonl") and "incoming" in moment.call.path,
        lambda moment: _flip(Path(moment.call.path)),
    )
    run = attack.case.live(attack.zygote, event, reading=True)
    return attack.judged(run) + attack.case.converge(attack.zygote)


@_attack(_QUARANTINE)
def _source_is_written_to_after_it_was_archived(attack: Attack) -> list[Violation]:
    def write(_: Moment) -> None:
        with open(attack.place("frozen") / "metrics.json", "a") as file:
            file.write(', "late": "evidence"}')
        attack.case.settle()

    event = events.before(lambda moment: _reads(moment, ".tar.gz") and "incoming" in moment.call.path, write)
    run = attack.case.live(attack.zygote, event, reading=True)
    return attack.judged(run) + attack.case.converge(attack.zygote)


@_attack(_QUARANTINE)
def _source_is_written_to_while_it_is_archived(attack: Attack) -> list[Violation]:
    def write(_: Moment) -> None:
        (attack.place("frozen") / "zz-late").write_text("evidence")
        attack.case.settle()

    run = attack.case.live(attack.zygote, events.before(_is_half_read, write), reading=True)
    return attack.judged(run) + attack.case.converge(attack.zygote)


@_attack(_QUARANTINE)
def _death_after_an_unclean_commit(attack: Attack) -> list[Violation]:
    def write(_: Moment) -> None:
        (attack.place("frozen") / "zz-late").write_text("evidence")
        attack.case.settle()

    event = events.both(
        events.before(_is_half_read, write),
        events.before(lambda moment: _is_commit(moment, after=True), lambda _: None, events.DIE),
    )
    run = attack.case.live(attack.zygote, event, reading=True)
    return attack.judged(run) + attack.case.converge(attack.zygote)


@_attack(_QUARANTINE)
def _archives_are_forged(attack: Attack) -> list[Violation]:
    """An audit that knows no digests must notice whatever contradicts itself."""
    case = attack.case
    found = attack.judged(case.live(attack.zygote))
    forger = Forger(attack.archive())
    ends = case.life.ends
    for name, forge in FORGERIES.items():
        forge(forger)
        case.life = Life(name, ("verify",), ends)
        if case.restart().live(attack.zygote, tries=1).ended:
            found.append(Violation("P3", f"a forged {name} was not noticed"))
        forger.restore()
    if not case.restart().live(attack.zygote, tries=1).ended:
        found.append(Violation("P9", "a true archive does not verify"))
    return found


@_attack(_QUARANTINE)
def _source_is_written_to_between_a_commit_and_its_record(attack: Attack) -> list[Violation]:
    committed = events.before(lambda moment: _is_commit(moment, after=True), lambda _: None, events.DIE)
    run = attack.case.live(attack.zygote, committed)
    found = attack.judged(run)
    with open(attack.place("frozen") / "metrics.json", "a") as file:
        file.write(', "late": "evidence"}')
    attack.case.settle()
    # The archive says what was true when it was committed; that the source went on is what must be noticed.
    run = attack.case.live(attack.zygote)
    return found + [violation for violation in attack.judged(run) if violation.promise != "P10"]


@_attack(_QUARANTINE)
def _archive_rots_before_its_source_is_condemned(attack: Attack) -> list[Violation]:
    return _rot_after_commit(attack, attack.archive)


@_attack(_QUARANTINE)
def _manifest_rots_before_its_source_is_condemned(attack: Attack) -> list[Violation]:
    return _rot_after_commit(
        attack, lambda: attack.archive().with_name(attack.archive().name.replace(".tar.gz", ".manifest.jsonl"))
    )


def _rot_after_commit(attack: Attack, what: Callable[[], Path]) -> list[Violation]:
    def rot(_: Moment) -> None:
        _flip(what())
        attack.case.history.committed.clear()

    event = events.before(lambda moment: _was_said(moment, "archive"), rot)
    run = attack.case.live(attack.zygote, event, reading=True)
    # What has rotted is no clean archive any more, whatever it says; the source must be there for it.
    found = attack.must_refuse(run, "P1", "the archive has rotted")
    found = [violation for violation in found if violation.promise != "P10"]
    _flip(what())
    attack.case.history.committed.clear()
    return found + attack.case.converge(attack.zygote)


def _is_commit(moment: Moment, *, after: bool = False) -> bool:
    call = moment.run.calls[-1] if after and moment.run.calls else moment.call
    return call.name in RENAMES and call.path.endswith(".tar.gz") and _PRIVATE not in os.path.dirname(call.path)


@_attack(_QUARANTINE)
def _archive_of_that_name_appears(attack: Attack) -> list[Violation]:
    def occupy(moment: Moment) -> None:
        Path(moment.call.path).write_text("older evidence")
        attack.case.watch(Path(moment.call.path))

    event = events.before(_is_commit, occupy)
    run = attack.case.live(attack.zygote, event)
    return _own(attack, attack.judged(run) + attack.case.converge(attack.zygote))


@_attack(_QUARANTINE)
def _archive_of_that_name_exists(attack: Attack) -> list[Violation]:
    subject = attack.case.history.subjects[0]
    older = attack.case.history.quarantine / subject.namespace / f"{subject.title}_1.tar.gz"
    older.write_text("older evidence")
    attack.case.watch(older)
    run = attack.case.live(attack.zygote)
    stopped = [] if run.ended else [Violation("P9", f"stopped: {run.errors[-1:]}")]
    return _own(attack, stopped + attack.judged(run) + attack.case.converge(attack.zygote))


def _own(attack: Attack, found: list[Violation]) -> list[Violation]:
    """Without what is to be said of an archive that was never the engine's."""
    foreign = [path.name for path in attack.case.history.canaries if path.name.endswith(".tar.gz")]
    return [
        violation
        for violation in found
        if violation.promise != "P10" or not any(n in violation.message for n in foreign)
    ]


@_attack(_DELETE)
def _another_directory_stands_in_trash(attack: Attack) -> list[Violation]:
    case = attack.case
    condemned = events.before(
        lambda moment: "/trash/" in moment.call.path and moment.call.name == "unlinkat", lambda _: None, events.DIE
    )
    found = attack.judged(case.live(attack.zygote, condemned))
    aside = attack.case.place / "aside"
    attack.place("trash").rename(aside)
    attack.put_foreign(attack.place("trash"))
    run = case.live(attack.zygote)
    found += _without_place(attack.must_refuse(run, "P2", "another directory stands in trash"))
    attack.take_foreign_away(attack.place("trash"))
    aside.rename(attack.place("trash"))
    return found + case.converge(attack.zygote)


@_attack(_DELETE)
def _directory_in_trash_is_swapped_while_it_is_opened(attack: Attack) -> list[Violation]:
    aside = attack.case.place / "aside"

    def swap(_: Moment) -> None:
        attack.place("trash").rename(aside)
        attack.put_foreign(attack.place("trash"))
        attack.place("trash").chmod(0o700)
        attack.case.watch(attack.place("trash"))

    def reopened(moment: Moment) -> bool:
        subject = attack.case.history.subjects[0]
        journal = journal_of(attack.case.history, subject)
        condemned = isinstance(journal, dict) and journal["phase"] == "Condemned"
        readable = moment.call.name == "openat2" and not moment.call.flags & os.O_PATH
        return condemned and readable and moment.call.path == str(attack.place("trash"))

    run = attack.case.live(attack.zygote, events.before(reopened, swap), reading=True)
    found = _without_place(attack.must_refuse(run, "P2", "the directory in trash was swapped"))
    if attack.place("trash") in attack.case.history.canaries:
        attack.take_foreign_away(attack.place("trash"))
        aside.rename(attack.place("trash"))
    return found + attack.case.converge(attack.zygote)


def _without_place(found: list[Violation]) -> list[Violation]:
    """Without what follows from our having taken the directory away; what becomes of the foreign one is P4."""
    return [violation for violation in found if not _follows(violation)]


def _follows(violation: Violation) -> bool:
    named = "trash holds inode" in violation.message
    missed = violation.promise == "P2" and "is Provisioned" in violation.message
    return named or missed or violation.promise in ("P1", "P7")


@_attack(_DELETE)
def _another_directory_stands_where_it_lived(attack: Attack) -> list[Violation]:
    return _replace_live(attack, attack.put_foreign)


@_attack(_DELETE)
def _a_link_stands_where_it_lived(attack: Attack) -> list[Violation]:
    return _replace_live(attack, lambda path: path.symlink_to(attack.case.place / "outside"))


def _replace_live(attack: Attack, put: Callable[[Path], None]) -> list[Violation]:
    aside = attack.case.place / "aside"
    live = attack.place("live")

    def replace(_: Moment) -> None:
        live.rename(aside)
        put(live)

    event = events.before(lambda moment: _was_said(moment, "measure"), replace)
    run = attack.case.live(attack.zygote, event, reading=True)
    found = _without_place(attack.must_refuse(run, "P2", "something else stands in its place"))
    if live.is_symlink():
        live.unlink()
    elif live in attack.case.history.canaries and live.exists():
        attack.take_foreign_away(live)
    if not live.exists():
        aside.rename(live)
    return found + attack.case.converge(attack.zygote)


@_attack(Life("stranger", ("create",), ("provisioned",)))
def _a_strangers_directory_stands_there_before(attack: Attack) -> list[Violation]:
    live = attack.place("live")
    attack.put_foreign(live)
    run = attack.case.live(attack.zygote)
    found = attack.must_refuse(run, "P4", "a stranger's directory stands there")
    attack.take_foreign_away(live)
    return found + attack.case.converge(attack.zygote)


@_attack(_DELETE)
def _it_vanishes(attack: Attack) -> list[Violation]:
    aside = attack.case.place / "aside"
    event = events.before(lambda moment: _was_said(moment, "measure"), lambda _: _move(attack.place("live"), aside))
    run = attack.case.live(attack.zygote, event, reading=True)
    found = _without_place(attack.must_refuse(run, "P7", "the directory had vanished"))
    if not attack.place("live").exists():
        attack.place("live").parent.mkdir(exist_ok=True)
        aside.rename(attack.place("live"))
    return found + attack.case.converge(attack.zygote)


@_attack(_QUARANTINE)
def _it_vanishes_before_it_is_archived(attack: Attack) -> list[Violation]:
    aside = attack.case.place / "aside"
    event = events.before(lambda moment: _was_said(moment, "latch"), lambda _: _move(attack.place("live"), aside))
    run = attack.case.live(attack.zygote, event, reading=True)
    found = _without_place(attack.must_refuse(run, "P7", "the directory had vanished"))
    attack.place("live").parent.mkdir(exist_ok=True)
    aside.rename(attack.place("live"))
    return found + attack.case.converge(attack.zygote)


@_attack(Life("lost entry", ("create", "fill", "remove", "release"), ("gone",)))
def _the_journal_loses_the_entry(attack: Attack) -> list[Violation]:
    entry = attack.case.history.storage / _PRIVATE / "journal" / f"{attack.case.history.subjects[0].uid}.json"
    event = events.before(lambda moment: any(m.get("ask") for _, m in moment.run.said), lambda _: None, events.DIE)
    attack.case.live(attack.zygote, event)
    kept = entry.read_bytes()
    entry.unlink()
    found = []
    for step in ("release", "release unclaimed"):
        attack.case.life = Life("", (step,), attack.case.life.ends)
        if attack.case.live(attack.zygote).ended:
            found.append(Violation("P5", "released without a journal entry, its directory in place"))
    entry.write_bytes(kept)
    attack.case.life = _DELETE
    return found + attack.case.converge(attack.zygote)


@_attack(_DELETE)
def _storage_is_unmounted(attack: Attack) -> list[Violation]:
    return _unmount(attack, attack.case.history.storage)


@_attack(_QUARANTINE)
def _quarantine_is_unmounted(attack: Attack) -> list[Violation]:
    return _unmount(attack, attack.case.history.quarantine, after="latch")


def _unmount(attack: Attack, volume: Path, after: str = "measure") -> list[Violation]:
    aside = attack.case.place / "aside"

    def unmount(_: Moment) -> None:
        volume.rename(aside)
        volume.mkdir()

    event = events.before(lambda moment: _was_said(moment, after), unmount)
    # Whatever is opened through descriptors is the unmounted one; both are the volume as far as calls go.
    run = attack.case.live(attack.zygote, event, reading=True)
    found = [Violation("P7", f"went on although {volume.name} was unmounted")] if run.ended else []
    found += [Violation("P7", f"{path} was made on the empty mount point") for path in volume.iterdir()]
    shutil.rmtree(volume)
    aside.rename(volume)
    return found + attack.case.judge() + attack.case.converge(attack.zygote)


@_attack(_DELETE)
def _storage_is_swapped(attack: Attack) -> list[Violation]:
    marker = attack.case.history.storage / _PRIVATE / "volume.json"
    was = marker.read_text()

    def swap(_: Moment) -> None:
        marker.write_text(json.dumps(json.loads(was) | {"id": STRANGER}))

    event = events.before(lambda moment: _was_said(moment, "measure"), swap)
    run = attack.case.live(attack.zygote, event, reading=True)
    found = attack.must_refuse(run, "P7", "storage has another marker")
    marker.write_text(was)
    return found + attack.case.converge(attack.zygote)


@_attack(_DELETE)
def _an_empty_volume_is_mounted_at_the_next_start(attack: Attack) -> list[Violation]:
    """The marker is gone, other things are there: that is no new volume."""
    private = attack.case.history.storage / _PRIVATE
    aside = attack.case.place / "aside"
    private.rename(aside)
    run = attack.case.live(attack.zygote)
    found = [Violation("P7", "a volume without its marker was used")] if run.ended or private.exists() else []
    shutil.rmtree(private, ignore_errors=True)
    aside.rename(private)
    return found + attack.case.converge(attack.zygote)


@_attack(_DELETE)
def _the_volumes_change_places(attack: Attack) -> list[Violation]:
    storage, quarantine = attack.case.history.storage, attack.case.history.quarantine
    _exchange(storage, quarantine)
    run = attack.case.live(attack.zygote)
    _exchange(storage, quarantine)
    found = [Violation("P7", "storage was taken for quarantine")] if run.ended else []
    return found + attack.case.judge() + attack.case.converge(attack.zygote)


def _exchange(one: Path, other: Path) -> None:
    aside = one.with_name("exchanging")
    one.rename(aside)
    other.rename(one)
    aside.rename(other)


@_attack(_DELETE)
def _a_second_operator_starts(attack: Attack) -> list[Violation]:
    found: list[Violation] = []

    def start(_: Moment) -> None:
        second = attack.zygote.run(attack.case.job(()), fill=attack.case.fill)
        if second.ended:
            found.append(Violation("P8", "two operators had the same storage volume at once"))

    event = events.before(lambda moment: _was_said(moment, "create"), start)
    run = attack.case.live(attack.zygote, event)
    return found + attack.judged(run) + attack.case.converge(attack.zygote)


@_attack(Life("hasty", ("create", "fill", "latch", "remove", "release"), ("gone",)))
def _removal_is_asked_for_before_the_archive(attack: Attack) -> list[Violation]:
    run = attack.case.live(attack.zygote)
    found = attack.must_refuse(run, "P1", "a quarantine was latched")
    attack.case.life = _QUARANTINE
    return found + attack.case.converge(attack.zygote)


@_attack(Life("lenient", ("create", "fill", "latch", "retain", "release"), ("gone",)))
def _retaining_is_asked_for_before_the_archive(attack: Attack) -> list[Violation]:
    run = attack.case.live(attack.zygote)
    found = attack.must_refuse(run, "P6", "a quarantine was latched")
    attack.case.life = _QUARANTINE
    return found + attack.case.converge(attack.zygote)


@_attack(Life("forgetful", ("create", "fill", "forget"), ("provisioned",)))
def _it_is_forgotten_while_it_lives(attack: Attack) -> list[Violation]:
    run = attack.case.live(attack.zygote)
    return attack.judged(run) + attack.case.converge(attack.zygote)


@_attack(Life("forgetful", ("create", "fill", "retain", "release", "forget"), ("retained",)))
def _it_is_forgotten_while_it_is_retained(attack: Attack) -> list[Violation]:
    run = attack.case.live(attack.zygote)
    return attack.judged(run) + attack.case.converge(attack.zygote)


@_attack(Life("late", ("create", "fill", "remove", "latch now", "release"), ("gone",)))
def _it_is_latched_when_it_is_gone(attack: Attack) -> list[Violation]:
    run = attack.case.live(attack.zygote)
    if run.ended:
        return [Violation("P6", "a latch was accepted for what is gone")]
    return attack.judged(run)


@_attack(_QUARANTINE)
def _the_archive_is_full(attack: Attack) -> list[Violation]:
    """Writing fails half-way every time, until there is room again."""
    case = attack.case

    def full(moment: Moment) -> events.Answer:
        writes = moment.call.name == "write" and "incoming" in moment.call.path
        return events.Answer(events.Kind.FAIL, 28) if writes else events.LET

    run = case.live(attack.zygote, full)
    found = attack.must_refuse(run, "P1", "no archive can be written")
    return found + case.converge(attack.zygote)
