"""Doing many tries at once: one process each, replaced where it dies, and a line of progress.

What is tried is a value; where it is tried (a driver, file systems) belongs to the worker, and is made when it is first
needed.
"""

import gc
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from multiprocessing import get_context
from types import TracebackType
from typing import Final, Self, TypeVar

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")

_AHEAD: Final = 2
"""Tries that a worker has: one that it makes, and one that waits for it."""


class Worker:
    """A process that does one thing after the other. Use as a context manager; an error there kills it."""

    def __init__(self, prepare: Callable[[], None]) -> None:
        """Start it; `prepare` is the first thing that it does.

        Raises:
            BrokenProcessPool: it did not survive that.
        """
        self._pool = ProcessPoolExecutor(1, get_context("fork"), _begin, (prepare,))
        # A collection in the child would finalise what gRPC has left here, without the threads that this needs.
        gc.collect()
        gc.freeze()
        try:
            self.pid = self.submit(os.getpid).result()
        finally:
            gc.unfreeze()

    def submit(self, do: Callable[..., _Result], *arguments: object) -> Future[_Result]:
        """Have it do something after everything else; the result is a BrokenProcessPool where it dies before."""
        return self._pool.submit(do, *arguments)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None and not self.has_died:
            os.kill(self.pid, signal.SIGKILL)
        self._pool.shutdown()

    @property
    def has_died(self) -> bool:
        """Whether it is not there any more."""
        try:
            self.submit(os.getpid)
        except BrokenProcessPool:
            return True
        return False


def in_parallel(
    what: str,
    do: Callable[[_Task], _Result],
    tasks: Iterable[_Task],
    jobs: int,
    prepare: Callable[[], None],
    *,
    died: Callable[[_Task], _Result] | None = None,
) -> Iterator[tuple[_Task, _Result]]:
    """Results as they come; says how far it is.

    Args:
        what: is tried, for people.
        do: a try.
        tasks: what is tried.
        jobs: processes at once.
        prepare: the first thing that a process does.
        died: the result of a try in which its process died; an error without it.

    Raises:
        BrokenProcessPool: a process died unexpectedly.
    """
    pending = deque(tasks)
    total, finished, begun = len(pending), 0, time.monotonic()
    with ExitStack() as stack:
        crew: dict[Worker, deque[tuple[Future[_Result], _Task]]] = {}
        while pending or any(crew.values()):
            while pending and len(crew) < min(jobs, total):
                crew[stack.enter_context(Worker(prepare))] = deque()
            for worker, queue in crew.items():
                while pending and len(queue) < _AHEAD:
                    queue.append((worker.submit(do, pending[0]), pending.popleft()))
            wait([queue[0][0] for queue in crew.values() if queue], return_when=FIRST_COMPLETED)
            for worker, queue in list(crew.items()):
                while queue and queue[0][0].done():
                    future, task = queue.popleft()
                    if died is not None and isinstance(future.exception(), BrokenProcessPool):
                        pending.extendleft(waiting for _, waiting in reversed(queue))
                        del crew[worker]
                        queue.clear()
                        result = died(task)
                    else:
                        result = future.result()
                    finished += 1
                    _progress(what, finished, total, begun)
                    yield task, result


def _begin(prepare: Callable[[], None]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    prepare()


def _progress(what: str, finished: int, total: int, begun: float) -> None:
    last = finished == total
    if sys.stdout.isatty():
        print(f"\r  {what}: {finished} of {total}", end="\n" if last else "", flush=True)
    elif last or finished % max(1, total // 4) == 0:
        print(f"  {what}: {finished} of {total}, {time.monotonic() - begun:.0f} s", flush=True)
