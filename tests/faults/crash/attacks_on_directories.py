"""Directories that are replaced, vanish or are forgotten, and steps that are asked for out of turn."""

import os
from collections.abc import Callable
from pathlib import Path

from tests.faults.crash import events
from tests.faults.crash.attack import DELETE, PRIVATE, QUARANTINE, Attack, during, move, was_said
from tests.faults.crash.events import Moment
from tests.faults.crash.history import Violation, journal_of
from tests.faults.crash.lives import Life


@during(DELETE)
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


@during(DELETE)
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


@during(DELETE)
def _another_directory_stands_where_it_lived(attack: Attack) -> list[Violation]:
    return _replace_live(attack, attack.put_foreign)


@during(DELETE)
def _a_link_stands_where_it_lived(attack: Attack) -> list[Violation]:
    return _replace_live(attack, lambda path: path.symlink_to(attack.case.place / "outside"))


def _replace_live(attack: Attack, put: Callable[[Path], None]) -> list[Violation]:
    aside = attack.case.place / "aside"
    live = attack.place("live")

    def replace(_: Moment) -> None:
        live.rename(aside)
        put(live)

    event = events.before(lambda moment: was_said(moment, "measure"), replace)
    run = attack.case.live(attack.zygote, event, reading=True)
    found = _without_place(attack.must_refuse(run, "P2", "something else stands in its place"))
    if live.is_symlink():
        live.unlink()
    elif live in attack.case.history.canaries and live.exists():
        attack.take_foreign_away(live)
    if not live.exists():
        aside.rename(live)
    return found + attack.case.converge(attack.zygote)


@during(Life("stranger", ("create",), ("provisioned",)))
def _a_strangers_directory_stands_there_before(attack: Attack) -> list[Violation]:
    live = attack.place("live")
    attack.put_foreign(live)
    run = attack.case.live(attack.zygote)
    found = attack.must_refuse(run, "P4", "a stranger's directory stands there")
    attack.take_foreign_away(live)
    return found + attack.case.converge(attack.zygote)


@during(DELETE)
def _it_vanishes(attack: Attack) -> list[Violation]:
    aside = attack.case.place / "aside"
    event = events.before(lambda moment: was_said(moment, "measure"), lambda _: move(attack.place("live"), aside))
    run = attack.case.live(attack.zygote, event, reading=True)
    found = _without_place(attack.must_refuse(run, "P7", "the directory had vanished"))
    if not attack.place("live").exists():
        attack.place("live").parent.mkdir(exist_ok=True)
        aside.rename(attack.place("live"))
    return found + attack.case.converge(attack.zygote)


@during(QUARANTINE)
def _it_vanishes_before_it_is_archived(attack: Attack) -> list[Violation]:
    aside = attack.case.place / "aside"
    event = events.before(lambda moment: was_said(moment, "latch"), lambda _: move(attack.place("live"), aside))
    run = attack.case.live(attack.zygote, event, reading=True)
    found = _without_place(attack.must_refuse(run, "P7", "the directory had vanished"))
    attack.place("live").parent.mkdir(exist_ok=True)
    aside.rename(attack.place("live"))
    return found + attack.case.converge(attack.zygote)


@during(Life("lost entry", ("create", "fill", "remove", "release"), ("gone",)))
def _the_journal_loses_the_entry(attack: Attack) -> list[Violation]:
    entry = attack.case.history.storage / PRIVATE / "journal" / f"{attack.case.history.subjects[0].uid}.json"
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
    attack.case.life = DELETE
    return found + attack.case.converge(attack.zygote)


@during(Life("hasty", ("create", "fill", "latch", "remove", "release"), ("gone",)))
def _removal_is_asked_for_before_the_archive(attack: Attack) -> list[Violation]:
    run = attack.case.live(attack.zygote)
    found = attack.must_refuse(run, "P1", "a quarantine was latched")
    attack.case.life = QUARANTINE
    return found + attack.case.converge(attack.zygote)


@during(Life("lenient", ("create", "fill", "latch", "retain", "release"), ("gone",)))
def _retaining_is_asked_for_before_the_archive(attack: Attack) -> list[Violation]:
    run = attack.case.live(attack.zygote)
    found = attack.must_refuse(run, "P6", "a quarantine was latched")
    attack.case.life = QUARANTINE
    return found + attack.case.converge(attack.zygote)


@during(Life("forgetful", ("create", "fill", "forget"), ("provisioned",)))
def _it_is_forgotten_while_it_lives(attack: Attack) -> list[Violation]:
    run = attack.case.live(attack.zygote)
    return attack.judged(run) + attack.case.converge(attack.zygote)


@during(Life("forgetful", ("create", "fill", "retain", "release", "forget"), ("retained",)))
def _it_is_forgotten_while_it_is_retained(attack: Attack) -> list[Violation]:
    run = attack.case.live(attack.zygote)
    return attack.judged(run) + attack.case.converge(attack.zygote)


@during(Life("late", ("create", "fill", "remove", "latch now", "release"), ("gone",)))
def _it_is_latched_when_it_is_gone(attack: Attack) -> list[Violation]:
    run = attack.case.live(attack.zygote)
    if run.ended:
        return [Violation("P6", "a latch was accepted for what is gone")]
    return attack.judged(run)
