"""The controller's quarantine volume, for the engine of a node: archives go there beside the connection."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import grpc

from metrics_storage.channel import channel_pb2 as pb
from metrics_storage.channel.conversation import Conversation
from metrics_storage.channel.messages import read_failure
from metrics_storage.channel.protocol import PIECE
from metrics_storage.channel.transport import VaultStream, described, vault_on
from metrics_storage.engine.archives.vault import Digests, Origin
from metrics_storage.engine.fs.walk import Progress
from metrics_storage.errors import ArchiveError, NodeUnavailableError
from metrics_storage.model.identity import Identity

_Conversation = Conversation[pb.ToVault, pb.FromVault]


@dataclass(frozen=True, slots=True)
class Session:
    """A connection that stands: where streams are opened, and what each shows."""

    channel: grpc.aio.Channel
    name: str
    loop: asyncio.AbstractEventLoop
    ended: threading.Event = field(default_factory=threading.Event)


class RemoteVault:
    """The vault behind whatever connection stands at the time; its protocol says what the methods mean."""

    def __init__(self) -> None:
        self._session: Session | None = None

    @contextlib.contextmanager
    def attached(self, channel: grpc.aio.Channel, name: str) -> Iterator[None]:
        """Be reachable through a connection, from the event loop that carries it."""
        session = self._session = Session(channel, name, asyncio.get_running_loop())
        try:
            yield
        finally:
            session.ended.set()
            self._session = None

    def recover(self, identity: Identity) -> int:
        with self._conversation(identity) as conversation:
            return _ask(conversation, pb.ToVault(recover=pb.Recover()), "recovered").recovered.latest

    @contextlib.contextmanager
    def draft(self, identity: Identity, room: int) -> Iterator["RemoteDraft"]:
        with self._conversation(identity) as conversation, contextlib.ExitStack() as stack:
            begun = _ask(conversation, pb.ToVault(begin=pb.Begin(room=room)), "begun").begun
            draft = RemoteDraft(conversation, begun, stack)
            try:
                yield draft
            except ConnectionError as exc:
                # Of the socket whose bytes nobody takes any more: the vault may have said why.
                stack.close()
                raise _refusal(conversation) from exc

    @contextlib.contextmanager
    def reading(self, identity: Identity, attempt: int) -> Iterator[tuple[int, int]]:
        with contextlib.ExitStack() as stack:
            fds: list[int] = []
            for manifest in (False, True):
                conversation = stack.enter_context(self._conversation(identity))
                conversation.say(pb.ToVault(fetch=pb.Fetch(attempt=attempt, manifest=manifest)))
                fds.append(stack.enter_context(_incoming(conversation, "manifest" if manifest else "archive")))
            yield fds[0], fds[1]

    def digests(self, identity: Identity, attempt: int, progress: Progress | None) -> Digests:
        with self._conversation(identity) as conversation:
            found = _ask(conversation, pb.ToVault(digest=pb.Digest(attempt=attempt)), "digests", progress).digests
            return Digests(found.archive, found.manifest)

    @contextlib.contextmanager
    def _conversation(self, identity: Identity) -> Iterator[_Conversation]:
        session = self._session
        if session is None:
            raise NodeUnavailableError("the vault cannot be reached: this agent is not connected to the controller")
        stream = _Stream(session.channel)
        conversation = Conversation(session.loop, stream.send, stream.receive, session.ended)
        try:
            conversation.say(pb.ToVault(open=pb.Open(session=session.name, uid=identity.uid)))
            yield conversation
        finally:
            with contextlib.suppress(RuntimeError):  # The event loop may be over, and with it the stream.
                session.loop.call_soon_threadsafe(stream.cancel)


class RemoteDraft:
    """An archive on its way to the vault: what is written to its descriptors goes there."""

    def __init__(self, conversation: _Conversation, begun: pb.Begun, stack: contextlib.ExitStack) -> None:
        self.attempt: int = begun.attempt
        self.origin = Origin(begun.cluster, begun.node)
        self._conversation = conversation
        self._files = (
            _Outgoing(conversation, "archive"),
            _Outgoing(conversation, "manifest"),
        )
        for file in self._files:
            stack.callback(file.close)
        self.archive_fd, self.manifest_fd = (file.fd for file in self._files)
        self._verified: Digests | None = None

    def verify(self, progress: Progress | None) -> Digests:
        for file in self._files:
            file.finish()
        found = _ask(self._conversation, pb.ToVault(verify=pb.Verify()), "digests", progress).digests
        self._verified = Digests(found.archive, found.manifest)
        return self._verified

    @contextlib.contextmanager
    def reading_manifest(self) -> Iterator[int]:
        self._conversation.say(pb.ToVault(read_manifest=pb.ReadManifest()))
        with _incoming(self._conversation, "manifest") as fd:
            yield fd

    def commit(self) -> None:
        verified = self._verified
        if verified is None:
            raise ArchiveError("what was not verified is not committed")
        commit = pb.Digests(archive=verified.archive, manifest=verified.manifest)
        _ask(self._conversation, pb.ToVault(commit=commit), "receipt")


class _Stream:
    """A stream to the vault, opened by the event loop with its first message."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel
        self._stream: VaultStream | None = None

    async def send(self, message: pb.ToVault) -> None:
        if self._stream is None:
            self._stream = vault_on(self._channel)
        with _ends_told():
            await self._stream.write(message)

    async def receive(self) -> pb.FromVault | None:
        if self._stream is None:
            return None
        with _ends_told():
            message = await self._stream.read()
        return message if isinstance(message, pb.FromVault) else None

    def cancel(self) -> None:
        if self._stream is not None:
            self._stream.cancel()


@contextlib.contextmanager
def _ends_told() -> Iterator[None]:
    try:
        yield
    except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as exc:
        raise NodeUnavailableError(f"the stream to the vault ended: {described(exc)}") from exc


class _Outgoing:
    """A socket whose bytes are sent as content of one of an archive's files."""

    def __init__(self, conversation: _Conversation, kind: str) -> None:
        self._conversation = conversation
        self._kind = kind
        ours, self._theirs = socket.socketpair()
        self.fd = self._theirs.fileno()
        self._sending = conversation.start(self._send(ours))

    def finish(self) -> None:
        """Wait until everything that was written is sent."""
        self._theirs.close()
        self._conversation.join(self._sending)

    def close(self) -> None:
        self._theirs.close()
        self._sending.cancel()

    async def _send(self, ours: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=ours, limit=PIECE)
        try:
            while data := await reader.read(PIECE):
                await self._conversation.send(pb.ToVault(content=pb.Content(**{self._kind: data})))
        finally:
            writer.close()  # Who still writes is told.


@contextlib.contextmanager
def _incoming(conversation: _Conversation, kind: str) -> Iterator[int]:
    """A socket to read from what the vault sends next of a file, until its end.

    That it was cut off counts more than what a reader made of it.
    """
    ours, theirs = socket.socketpair()
    receiving = conversation.start(_receive(conversation, ours, kind))
    try:
        yield theirs.fileno()
    finally:
        theirs.close()
        conversation.join(receiving)


async def _receive(conversation: _Conversation, ours: socket.socket, kind: str) -> None:
    _, writer = await asyncio.open_connection(sock=ours)
    try:
        while (message := _checked(await conversation.receive(), "content", "end")).WhichOneof("message") != "end":
            if message.content.WhichOneof("file") != kind:
                raise NodeUnavailableError(f"the vault sent {message.content.WhichOneof('file')}, not the {kind}")
            writer.write(getattr(message.content, kind))
            await writer.drain()
    except ConnectionError:
        pass  # Nobody reads any more.
    finally:
        writer.close()


def _ask(
    conversation: _Conversation, message: pb.ToVault, outcome: str, progress: Progress | None = None
) -> pb.FromVault:
    """Ask the vault, and wait for what it says."""
    try:
        conversation.say(message)
    except NodeUnavailableError as exc:
        raise _refusal(conversation) from exc
    return _checked(conversation.hear(progress and (lambda: progress(0, 0))), outcome)


def _checked(message: pb.FromVault | None, *outcomes: str) -> pb.FromVault:
    """What the vault said, if it is one of these; what it refuses is raised."""
    if message is None:
        raise NodeUnavailableError("the vault ended the stream")
    outcome = message.WhichOneof("message")
    if outcome == "failure":
        raise read_failure(message.failure)
    if outcome not in outcomes:
        raise NodeUnavailableError(f"the vault answered with {outcome}, expected {' or '.join(outcomes)}")
    return message


def _refusal(conversation: _Conversation) -> Exception:
    """Why the vault does not take any more of what is sent."""
    message = conversation.hear()
    if message is not None and message.WhichOneof("message") == "failure":
        return read_failure(message.failure)
    return NodeUnavailableError("the vault does not take any more of what is sent")
