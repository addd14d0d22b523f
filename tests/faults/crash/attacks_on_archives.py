"""Archives that rot, are forged, or find their name taken, and sources that change while they are archived."""

import os
from collections.abc import Callable
from pathlib import Path

from tests.faults.crash import events
from tests.faults.crash.attack import PRIVATE, QUARANTINE, Attack, during, was_said
from tests.faults.crash.calls import OPENS, RENAMES
from tests.faults.crash.events import Moment
from tests.faults.crash.forgery import FORGERIES, Forger
from tests.faults.crash.history import Violation
from tests.faults.crash.lives import Life


def _reads(moment: Moment, ending: str) -> bool:
    return moment.call.name in OPENS and not moment.call.writable and moment.call.path.endswith(ending)


def _is_half_read(moment: Moment) -> bool:
    """Whether the archive is being written: names were listed, and an entry in the middle is opened."""
    return _reads(moment, "/metrics.json") and "/frozen/" in moment.call.path


def _flip(path: Path) -> None:
    """A bit that rots, in the middle of a file, and that no time of modification tells of."""
    status = path.stat()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@during(QUARANTINE)
def _archive_rots_while_it_is_written(attack: Attack) -> list[Violation]:
    event = events.before(
        lambda moment: _reads(moment, ".tar.gz") and "incoming" in moment.call.path,
        lambda moment: _flip(Path(moment.call.path)),
    )
    run = attack.case.live(attack.zygote, event, reading=True)
    return attack.judged(run) + attack.case.converge(attack.zygote)


@during(QUARANTINE)
def _manifest_rots_while_it_is_written(attack: Attack) -> list[Violation]:
    event = events.before(
        lambda moment: _reads(moment, ".jsonl") and "incoming" in moment.call.path,
        lambda moment: _flip(Path(moment.call.path)),
    )
    run = attack.case.live(attack.zygote, event, reading=True)
    return attack.judged(run) + attack.case.converge(attack.zygote)


@during(QUARANTINE)
def _source_is_written_to_after_it_was_archived(attack: Attack) -> list[Violation]:
    def write(_: Moment) -> None:
        with open(attack.place("frozen") / "metrics.json", "a") as file:
            file.write(', "late": "evidence"}')
        attack.case.settle()

    event = events.before(lambda moment: _reads(moment, ".tar.gz") and "incoming" in moment.call.path, write)
    run = attack.case.live(attack.zygote, event, reading=True)
    return attack.judged(run) + attack.case.converge(attack.zygote)


@during(QUARANTINE)
def _source_is_written_to_while_it_is_archived(attack: Attack) -> list[Violation]:
    def write(_: Moment) -> None:
        (attack.place("frozen") / "zz-late").write_text("evidence")
        attack.case.settle()

    run = attack.case.live(attack.zygote, events.before(_is_half_read, write), reading=True)
    return attack.judged(run) + attack.case.converge(attack.zygote)


@during(QUARANTINE)
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


@during(QUARANTINE)
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


@during(QUARANTINE)
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


@during(QUARANTINE)
def _archive_rots_before_its_source_is_condemned(attack: Attack) -> list[Violation]:
    return _rot_after_commit(attack, attack.archive)


@during(QUARANTINE)
def _manifest_rots_before_its_source_is_condemned(attack: Attack) -> list[Violation]:
    return _rot_after_commit(
        attack, lambda: attack.archive().with_name(attack.archive().name.replace(".tar.gz", ".manifest.jsonl"))
    )


def _rot_after_commit(attack: Attack, what: Callable[[], Path]) -> list[Violation]:
    def rot(_: Moment) -> None:
        _flip(what())
        attack.case.history.committed.clear()

    event = events.before(lambda moment: was_said(moment, "archive"), rot)
    run = attack.case.live(attack.zygote, event, reading=True)
    # What has rotted is no clean archive any more, whatever it says; the source must be there for it.
    found = attack.must_refuse(run, "P1", "the archive has rotted")
    found = [violation for violation in found if violation.promise != "P10"]
    _flip(what())
    attack.case.history.committed.clear()
    return found + attack.case.converge(attack.zygote)


def _is_commit(moment: Moment, *, after: bool = False) -> bool:
    call = moment.run.calls[-1] if after and moment.run.calls else moment.call
    return call.name in RENAMES and call.path.endswith(".tar.gz") and PRIVATE not in os.path.dirname(call.path)


@during(QUARANTINE)
def _archive_of_that_name_appears(attack: Attack) -> list[Violation]:
    def occupy(moment: Moment) -> None:
        Path(moment.call.path).write_text("older evidence")
        attack.case.watch(Path(moment.call.path))

    event = events.before(_is_commit, occupy)
    run = attack.case.live(attack.zygote, event)
    return _own(attack, attack.judged(run) + attack.case.converge(attack.zygote))


@during(QUARANTINE)
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


@during(QUARANTINE)
def _the_archive_is_full(attack: Attack) -> list[Violation]:
    """Writing fails half-way every time, until there is room again."""
    case = attack.case

    def full(moment: Moment) -> events.Answer:
        writes = moment.call.name == "write" and "incoming" in moment.call.path
        return events.Answer(events.Kind.FAIL, 28) if writes else events.LET

    run = case.live(attack.zygote, full)
    found = attack.must_refuse(run, "P1", "no archive can be written")
    return found + case.converge(attack.zygote)
