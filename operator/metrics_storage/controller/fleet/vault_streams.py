"""The vault as agents reach it: streams on which archives are written, verified, committed and read.

What an agent may write or read is what the controller asks it for at the time. Namespace, name, attempt, cluster and
node are never an agent's word, and nothing is overwritten or removed that is committed.
"""

import asyncio
import logging
import os
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Final
from weakref import WeakValueDictionary

import grpc

from metrics_storage.channel import channel_pb2 as pb
from metrics_storage.channel.conversation import Conversation
from metrics_storage.channel.messages import write_failure
from metrics_storage.channel.protocol import PIECE
from metrics_storage.channel.transport import VaultContext, first_of
from metrics_storage.controller.fair_queue import FairQueue
from metrics_storage.controller.fleet.agents import Agent, AgentPod, Agents
from metrics_storage.engine.archives.vault import Digests, Vault
from metrics_storage.errors import ArchiveError, MetricsStorageError, NodeUnavailableError
from metrics_storage.model.identity import Identity, Uid

_log = logging.getLogger(__name__)

_Conversation = Conversation[pb.FromVault, pb.ToVault]

_STREAMS: Final = 64
"""Archives written at a time, of all nodes; each has a few messages in memory, and a thread."""

_STREAMS_OF_A_NODE: Final = 4
"""Of which one node may have so many: one that does not go on with what it began holds up nobody else."""


class VaultStreams:
    """Serves agents' streams, each in a thread of its own."""

    def __init__(self, agents: Agents, vault_for: Callable[[AgentPod], Vault]) -> None:
        """`vault_for` gives the vault that writes a node's name into what that node archives."""
        self._agents = agents
        self._vault_for = vault_for
        self._queue = FairQueue(_STREAMS)
        self._writers = ThreadPoolExecutor(_STREAMS, thread_name_prefix="vault")
        # Of their own: who writes an archive may have to read an earlier one meanwhile.
        self._readers = ThreadPoolExecutor(_STREAMS, thread_name_prefix="vault-read")
        self._nodes: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._locks: WeakValueDictionary[Uid, asyncio.Lock] = WeakValueDictionary()
        self._serving: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Wait for what is served, once the connections have ended."""
        await asyncio.gather(*self._serving, return_exceptions=True)
        self._writers.shutdown()
        self._readers.shutdown()

    async def serve(self, requests: AsyncIterator[pb.ToVault], context: VaultContext) -> None:
        """Serve a stream until its agent or the agent's connection ends it."""
        agent, identity = await self._open(requests, context)
        # gRPC sends this with the first answer, and once more where a stream is ended during that: then it hangs.
        await context.send_initial_metadata(())
        ended = threading.Event()

        async def receive() -> pb.ToVault | None:
            return await anext(requests, None)

        conversation = Conversation(asyncio.get_running_loop(), context.write, receive, ended)
        # A thread may be at work when the stream is cut, and the next one about this uid has to wait for it.
        serving = asyncio.create_task(self._serve(agent, identity, conversation))
        self._serving.add(serving)
        serving.add_done_callback(self._serving.discard)
        connection = asyncio.create_task(agent.ended.wait())
        try:
            await asyncio.wait((serving, connection), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            pass  # By gRPC, which would print it: the stream is over.
        finally:
            ended.set()
            connection.cancel()

    async def _open(self, requests: AsyncIterator[pb.ToVault], context: VaultContext) -> tuple[Agent, Identity]:
        """Whose stream it is, and whose archives it is about."""
        message = await first_of(requests)
        if message is None or message.WhichOneof("message") != "open":
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "a stream begins with open")
        agent = self._agents.of_session(message.open.session)
        if agent is None:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "no connection has that session")
        identity = agent.subject(message.open.uid)
        if identity is None:
            await context.abort(
                grpc.StatusCode.PERMISSION_DENIED, f"node {agent.pod.node} was not asked for archives of that uid"
            )
        return agent, identity

    async def _serve(self, agent: Agent, identity: Identity, conversation: _Conversation) -> None:
        vault = self._vault_for(agent.pod)
        try:
            message = await conversation.receive()
            if message is None:
                return
            match message.WhichOneof("message"):
                case "recover":
                    async with self._lock(identity.uid):
                        await _run(self._readers, lambda: _recover(vault, identity, conversation))
                case "begin":
                    node = agent.pod.node
                    async with self._lock(identity.uid), self._share(node), self._queue.slot(node):
                        await _run(self._writers, lambda: _take_in(vault, identity, message.begin.room, conversation))
                case "fetch":
                    await _run(self._readers, lambda: _fetch(vault, identity, message.fetch, conversation))
                case "digest":
                    await _run(self._readers, lambda: _digest(vault, identity, message.digest.attempt, conversation))
                case other:
                    raise MetricsStorageError(f"{other} is nothing that a stream can ask for")
        except NodeUnavailableError:
            pass  # The stream is over, and what was not committed is thrown away.
        except Exception as exc:
            if not isinstance(exc, MetricsStorageError | OSError):
                _log.exception("an archive of %s failed unexpectedly", identity)
            await _tell(conversation, exc)

    def _share(self, node: str) -> asyncio.Semaphore:
        return self._nodes.setdefault(node, asyncio.Semaphore(_STREAMS_OF_A_NODE))

    def _lock(self, uid: Uid) -> asyncio.Lock:
        return self._locks.setdefault(uid, asyncio.Lock())


def _recover(vault: Vault, identity: Identity, conversation: _Conversation) -> None:
    conversation.say(pb.FromVault(recovered=pb.Recovered(latest=vault.recover(identity))))


def _take_in(vault: Vault, identity: Identity, room: int, conversation: _Conversation) -> None:
    """Take a new archive: written, read back from disk, sent back as far as is asked for, and committed."""
    with vault.draft(identity, room) as draft:
        begun = pb.Begun(attempt=draft.attempt, cluster=draft.origin.cluster, node=draft.origin.node)
        conversation.say(pb.FromVault(begun=begun))
        verified: Digests | None = None
        while (message := conversation.hear()) is not None:
            match message.WhichOneof("message"):
                case "content" if verified is None:
                    _write(draft.archive_fd, message.content.archive)
                    _write(draft.manifest_fd, message.content.manifest)
                case "verify" if verified is None:
                    verified = draft.verify(conversation.require_going_on)
                    conversation.say(pb.FromVault(digests=_digests(verified)))
                case "read_manifest" if verified is not None:
                    with draft.reading_manifest() as fd:
                        _send(fd, "manifest", conversation)
                case "commit" if _was_verified(message.commit, verified):
                    draft.commit()
                    conversation.say(pb.FromVault(receipt=pb.Receipt()))
                    return
                case other:
                    raise ArchiveError(f"{other} may not come now, or not with these digests: nothing was committed")


def _was_verified(commit: pb.Digests, verified: Digests | None) -> bool:
    return verified == Digests(commit.archive, commit.manifest)


def _fetch(vault: Vault, identity: Identity, fetch: pb.Fetch, conversation: _Conversation) -> None:
    with vault.reading(identity, fetch.attempt) as (archive_fd, manifest_fd):
        if fetch.manifest:
            _send(manifest_fd, "manifest", conversation)
        else:
            _send(archive_fd, "archive", conversation)


def _digest(vault: Vault, identity: Identity, attempt: int, conversation: _Conversation) -> None:
    found = vault.digests(identity, attempt, conversation.require_going_on)
    conversation.say(pb.FromVault(digests=_digests(found)))


def _digests(found: Digests) -> pb.Digests:
    return pb.Digests(archive=found.archive, manifest=found.manifest)


def _send(fd: int, kind: str, conversation: _Conversation) -> None:
    """Send a file from where it stands to its end."""
    while data := os.read(fd, PIECE):
        conversation.say(pb.FromVault(content=pb.Content(**{kind: data})))
    conversation.say(pb.FromVault(end=pb.End()))


def _write(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


async def _run(pool: Executor, work: Callable[[], None]) -> None:
    await asyncio.get_running_loop().run_in_executor(pool, work)


async def _tell(conversation: _Conversation, error: Exception) -> None:
    """Say what went wrong, if anybody still listens."""
    try:
        await conversation.send(pb.FromVault(failure=write_failure(error)))
    except Exception:
        _log.info("an agent did not hear why its archive failed: %s", error)
