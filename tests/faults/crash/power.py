"""Power cuts on real file systems: cut, mount again, judge what is left, live on to the end, judge again."""

import shutil
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.faults.crash import events
from tests.faults.crash.campaign import Point
from tests.faults.crash.case import Case
from tests.faults.crash.events import Event, Moment
from tests.faults.crash.history import Violation
from tests.faults.crash.lives import LIVES
from tests.faults.crash.supervisor import Zygote
from tests.faults.images import Image


class PowerSupply:
    """Two file systems of one kind, for the two volumes, that lose power at the same instant; a context manager."""

    def __init__(self, place: Path, system: str) -> None:
        self._place = place
        self._system = system

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._images = [
                stack.enter_context(Image(self._place / name, self._system)) for name in ("storage", "quarantine")
            ]
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def attempt(self, point: Point, zygote: Zygote) -> list[Violation]:
        """Try a point in new directories on the two file systems, which are removed afterwards."""
        storage, quarantine = (image.root / "volume" for image in self._images)
        place = self._place / "case"
        case = Case(place, LIVES[point.life], volumes=(storage, quarantine), durable=self._sync)
        try:
            return self._attempt(point, zygote, case)
        finally:
            for path in (storage, quarantine, place):
                shutil.rmtree(path, ignore_errors=True)

    def _attempt(self, point: Point, zygote: Zygote, case: Case) -> list[Violation]:
        case.prepare(zygote)
        if point.after >= 0:
            case.live(zygote, events.death(point.after))
        run = case.live(zygote, self._event(point.at))
        if not run.died:
            self._cut()
        for image in self._images:
            image.restore()
        return case.judge() + case.converge(zygote, calls=False)

    def _event(self, at: int) -> Event:
        return events.before(lambda moment: moment.number == at, self._cut, events.DIE)

    def _cut(self, _: Moment | None = None) -> None:
        for image in self._images:
            image.cut()

    def _sync(self) -> None:
        for image in self._images:
            image.sync()
