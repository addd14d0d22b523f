"""The process that is killed: lives a life with the real engine, one step after the other, and says how far it is.

`python -m tests.faults.crash.driver FD` waits on a socket for lives to live, each in a process forked for it, so that a
death costs a fork and not a start of Python. It behaves as the controller does: level-based, every step again
after an error, and the finalizer (`release`) only when the journal allows it. The only module of this package
that imports the engine; what it may do wrong on purpose is loaded by name (`mutants`).
"""

import contextlib
import ctypes
import errno
import io
import json
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from tests.faults.crash import calls, seccomp
from tests.faults.crash.lives import BROKEN, MAKING, MODE, MOVING, NAME, NAMESPACE, OWNER, UIDS, split

if TYPE_CHECKING:
    from metrics_storage.model.record import Record

_PR_SET_PDEATHSIG: Final = 1
REFUSED: Final = 3
"""Exit status of a life in which a step failed as often as it may be tried."""


class Actor(Protocol):
    """What can be asked for the directory of a uid; returns what the engine says of it then."""

    def open(self) -> None: ...
    def act(self, action: str, uid: str, reason: str) -> dict[str, Any]: ...


class EngineActor:
    """Asks the real engine, as the controller would."""

    def __init__(self, storage: Path, quarantine: Path, stack: ExitStack) -> None:
        self._paths = storage, quarantine
        self._stack = stack

    def open(self) -> None:
        from metrics_storage.engine.archives.local_vault import LocalVault
        from metrics_storage.engine.archives.vault import Origin
        from metrics_storage.engine.lifecycle.engine import StorageEngine
        from metrics_storage.engine.volume.volume import Role, Volume

        with ExitStack() as opening:
            storage = opening.enter_context(Volume(self._paths[0], Role.STORAGE, initialise=True))
            quarantine = opening.enter_context(Volume(self._paths[1], Role.QUARANTINE, initialise=True))
            storage.lock()
            self._engine = StorageEngine(storage, LocalVault(quarantine, Origin("faults", "here")))
            self._stack.enter_context(opening.pop_all())

    def act(self, action: str, uid: str, reason: str) -> dict[str, Any]:
        from metrics_storage.errors import UncleanArchiveError
        from metrics_storage.model.identity import Identity, Uid
        from metrics_storage.model.record import Phase
        from metrics_storage.model.spec import StorageSpec

        engine, identity = self._engine, Identity(NAMESPACE, NAME, Uid(uid))
        record = engine.find(identity.uid)
        untouched = record is not None and record.phase in (Phase.PROVISIONING, Phase.PROVISIONED)
        latched = record is not None and record.quarantine is not None
        spec = StorageSpec(owner=f"{OWNER}:{OWNER}", mode=f"{MODE:04o}")

        def latch() -> "Record":
            return engine.latch(identity, reason, "2026-01-01T00:00:00Z")

        def archive_in_vain() -> None:
            with contextlib.suppress(UncleanArchiveError):
                engine.archive(identity)

        def release() -> None:
            if record is None:
                engine.check_never_made(identity, claimed=action == "release")
            elif record.phase not in (Phase.GONE, Phase.RETAINED):
                raise RuntimeError(f"the finalizer would stay for ever: {record.phase}")

        deeds: dict[str, Callable[[], Any]] = {
            "create": lambda: engine.ensure(identity, spec).record,
            "measure": lambda: engine.measure(identity),
            "latch": lambda: latch() if untouched or latched else record,
            "latch now": latch,
            "snapshot": lambda: engine.snapshot(identity) if latched else record,
            "archive": lambda: engine.archive(identity) if latched else record,
            "archive in vain": archive_in_vain,
            "accept": lambda: self._accept(uid) if record and record.must_be_archived else record,
            "remove": lambda: engine.remove(identity),
            "retain": lambda: engine.retain(identity) if untouched else engine.remove(identity),
            "release": release,
            "release unclaimed": release,
            "forget": lambda: engine.forget(identity.uid),
            "verify": lambda: self._verify_all(uid),
        }
        deeds[action]()
        record = engine.find(identity.uid)
        return record.to_json() if record else {}

    def _accept(self, uid: str) -> None:
        """Say what a person says who has seen what is lost."""
        from metrics_storage.cli.main import main

        storage, quarantine = map(str, self._paths)
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            command = ["archives", "accept", uid, "--storage-root", storage, "--quarantine-root", quarantine, "--yes"]
            if main(command):
                raise RuntimeError(said.getvalue())

    def _verify_all(self, uid: str) -> None:
        """Read the archives of a uid again, as an audit does that knows no digest from elsewhere."""
        from metrics_storage.engine.archives.format.verify import verify_archive

        for path in (self._paths[1] / NAMESPACE).glob(f"*{uid}*.tar.gz"):
            manifest = path.with_name(path.name.removesuffix(".tar.gz") + ".manifest.jsonl")
            with path.open("rb") as archive, manifest.open("rb") as lines:
                verify_archive(archive.fileno(), lines.fileno())


class Life:
    """Steps to live, told to and asked of the harness over a socket in JSON lines."""

    def __init__(self, job: dict[str, Any], channel: socket.socket) -> None:
        self._job = job
        self._channel = channel

    def tell(self, **message: Any) -> None:
        """Say something to the harness."""
        self._channel.sendall(json.dumps(message).encode() + b"\n")

    def live(self, actor: Actor) -> int:
        """Live all steps that are left; returns an exit status."""
        moved = set(self._job["moved"])
        released = set(self._job["released"])
        if not self._persist("open", 0, actor.open):
            return REFUSED
        for step in self._job["steps"]:
            action, who = split(step)
            if (who in moved and action in MAKING) or (who in released and action != "forget"):
                continue
            if action in MOVING:
                moved.add(who)
            if action == "fill":
                self.tell(ask="fill", who=who)
                self._channel.recv(1)
            elif not self._persist(action, who, partial(actor.act, action, UIDS[who], self._job["reason"])):
                return REFUSED
        self.tell(end=True)
        return 0

    def _persist(self, action: str, who: int, do: Callable[[], Any]) -> bool:
        """Do a step again after an error, as often as the job allows."""
        self.tell(step=action, who=who, state="begun")
        for _ in range(self._job["tries"]):
            try:
                answer = do()
            except Exception as exc:
                told = "".join(traceback.format_exception(exc)[-3:])
                self.tell(step=action, who=who, state="failed", error=f"{type(exc).__name__}: {exc}", trace=told)
            else:
                self.tell(step=action, who=who, state="done", record=answer)
                return True
        return False


def live(job: dict[str, Any], channel: socket.socket, *, watched: bool = True) -> int:
    """Live one life in this process; returns an exit status."""
    life = Life(job, channel)
    if watched:
        listener = seccomp.install(calls.numbers(reading=job["reading"]))
        socket.send_fds(channel, [json.dumps({"pid": os.getpid()}).encode() + b"\n"], [listener])
        os.close(listener)
        channel.recv(1)
    if job["broken"]:
        _break_disk()
    with ExitStack() as stack:
        storage, quarantine = Path(job["storage"]), Path(job["quarantine"])
        if job["double"]:
            from tests.faults.mutants.naive import NaiveActor

            return life.live(NaiveActor(storage, quarantine))
        return life.live(EngineActor(storage, quarantine, stack))


def _break_disk() -> None:
    """From now on, nothing of `BROKEN` can be read."""
    real = os.pread

    def pread(fd: int, length: int, offset: int) -> bytes:
        if os.path.basename(os.readlink(f"/proc/self/fd/{fd}")) == BROKEN:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(fd, length, offset)

    os.pread = pread


def _serve(requests: socket.socket) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        data, descriptors, _, _ = socket.recv_fds(requests, 1 << 16, 1)
        if not data:
            return
        if os.fork() == 0:
            _die_with_parent()
            status = 1
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                status = live(json.loads(data), socket.socket(fileno=descriptors[0]))
            os._exit(status)
        os.close(descriptors[0])


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _import_engine() -> None:
    """Before any fork, so that every life begins with the same loaded modules."""
    import concurrent.futures.thread
    import encodings.idna
    import encodings.iso8859_1
    import gzip
    import tarfile

    import metrics_storage.cli.archives
    import metrics_storage.cli.main
    import metrics_storage.engine.lifecycle.engine

    _ = (concurrent.futures.thread, encodings.idna, encodings.iso8859_1, gzip, tarfile)
    _ = (metrics_storage.engine.lifecycle.engine, metrics_storage.cli.main, metrics_storage.cli.archives)


def main() -> None:
    """Serve lives, or, given `--once JOB`, live a single one that nobody watches from within (for strace)."""
    descriptor, *rest = sys.argv[1:]
    connection = socket.socket(fileno=int(descriptor))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with_parent()
    # Bits that a careless mask takes away must be given back.
    os.umask(0o077)
    _import_engine()
    if rest[:1] == ["--mutant"]:
        from tests.faults.mutants.mutants import install

        install(rest[1])
    if rest[:1] == ["--once"]:
        os._exit(live(json.loads(rest[1]), connection, watched=False))
    connection.send(b"ready")
    _serve(connection)


if __name__ == "__main__":
    main()
