"""What an agent may do to the vault, and what it may not: whoever has its node has all of its rights."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

from metrics_storage.channel import channel_pb2 as pb
from metrics_storage.channel.conversation import Conversation
from metrics_storage.channel.transport import VaultStream, vault_on
from metrics_storage.controller.fleet import vault_streams
from metrics_storage.controller.fleet.agents import Agent
from metrics_storage.engine.archives.local_vault import LocalDraft
from metrics_storage.engine.archives.vault import Digests
from metrics_storage.model.identity import Identity, Uid
from tests.contract.engine import RUNNER
from tests.contract.fleet import NODES, Controller, eventually, run

OTHER = Identity("runners", "runner-1", Uid("1b0c7f5e-6a54-4b0e-9d53-1c9f0f5d3a11"))
CONTENT = pb.ToVault(content=pb.Content(archive=b"x"))
VERIFY = pb.ToVault(verify=pb.Verify())
BEGIN = pb.ToVault(begin=pb.Begin(room=1))
COMMIT = pb.ToVault(commit=pb.Digests(archive="0" * 64, manifest="0" * 64))


@dataclass
class Intruder:
    """Two nodes' connections, of which the second has been taken over; the controller asks each for one runner."""

    controller: Controller
    agents: list[Agent]
    channel: grpc.aio.Channel

    def stream(self) -> VaultStream:
        return vault_on(self.channel)

    async def opened(self, agent: Agent | None = None, identity: Identity = OTHER) -> VaultStream:
        """A stream of the second node about its own runner, unless something else is said."""
        stream = self.stream()
        session = (agent or self.agents[1]).session
        await stream.write(pb.ToVault(open=pb.Open(session=session, uid=identity.uid)))
        return stream

    async def said(self, *messages: pb.ToVault) -> list[str | None]:
        """What the vault says to messages on a stream of one's own."""
        stream = await self.opened()
        for message in messages:
            await stream.write(message)
        await stream.done_writing()
        answers = []
        while isinstance(answer := await stream.read(), pb.FromVault):
            answers.append(answer.WhichOneof("message"))
        return answers

    def files(self) -> list[str]:
        """All archives, finished or not."""
        root = self.controller.root / "quarantine"
        incoming = (root / ".metrics-storage" / "incoming").iterdir()
        return sorted(path.name for path in (*incoming, *root.glob("runners/*")))


async def code_of(stream: VaultStream) -> grpc.StatusCode:
    """How the vault ended a stream, which it does at once."""
    async with asyncio.timeout(5):
        return await stream.code()


@asynccontextmanager
async def intruding(root: Path) -> AsyncIterator[Intruder]:
    async with Controller(root) as controller:
        agents = [Agent(pod, Uid.new(), 1) for pod in NODES[:2]]
        for agent in agents:
            controller.agents.add(agent)
        credentials = grpc.local_channel_credentials()
        async with grpc.aio.secure_channel(f"127.0.0.1:{controller.port}", credentials) as channel:
            with agents[0].archiving(RUNNER), agents[1].archiving(OTHER):
                yield Intruder(controller, agents, channel)


@pytest.mark.parametrize(
    ("first", "code"),
    [
        (BEGIN, grpc.StatusCode.INVALID_ARGUMENT),
        (pb.ToVault(open=pb.Open(uid=RUNNER.uid)), grpc.StatusCode.UNAUTHENTICATED),
        (pb.ToVault(open=pb.Open(session="0" * 64, uid=RUNNER.uid)), grpc.StatusCode.UNAUTHENTICATED),
    ],
    ids=["no open", "no session", "a session of nobody"],
)
def test_a_stream_without_a_session_is_refused(tmp_path: Path, first: pb.ToVault, code: grpc.StatusCode) -> None:
    async def rule() -> None:
        async with intruding(tmp_path) as intruder:
            stream = intruder.stream()
            await stream.write(first)
            assert await code_of(stream) is code

    run(rule())


@pytest.mark.parametrize("uid", [RUNNER.uid, "", "../../etc", str(Uid.new())])
def test_archives_of_what_the_node_is_not_asked_for_are_out_of_reach(tmp_path: Path, uid: str) -> None:
    async def rule() -> None:
        async with intruding(tmp_path) as intruder:
            stream = intruder.stream()
            await stream.write(pb.ToVault(open=pb.Open(session=intruder.agents[1].session, uid=uid)))
            assert await code_of(stream) is grpc.StatusCode.PERMISSION_DENIED

    run(rule())


def test_a_node_that_goes_on_with_nothing_has_a_few_streams_and_no_more(tmp_path: Path) -> None:
    many = [Identity("runners", f"runner-{number}", Uid.new()) for number in range(6)]

    async def rule() -> None:
        async with intruding(tmp_path) as intruder, AsyncExitStack() as stack:
            for identity in many:
                stack.enter_context(intruder.agents[1].archiving(identity))
            streams = [await intruder.opened(identity=identity) for identity in many]
            for stream in streams:
                await stream.write(BEGIN)
            node = intruder.controller.vault._share(NODES[1].node)
            await eventually(lambda: len(node._waiters or ()) == 2, "two wait")
            assert len(intruder.files()) == 8
            other = await intruder.opened(intruder.agents[0], RUNNER)
            await other.write(BEGIN)
            assert isinstance(await other.read(), pb.FromVault)
            for stream in streams[:2]:
                stream.cancel()
            for stream in streams[2:]:
                assert isinstance(await stream.read(), pb.FromVault)

    run(rule())


def test_a_session_is_over_with_its_connection(tmp_path: Path) -> None:
    async def rule() -> None:
        async with intruding(tmp_path) as intruder:
            writing = await intruder.opened()
            await writing.write(BEGIN)
            await writing.read()
            assert len(intruder.files()) == 2
            intruder.controller.agents.remove(intruder.agents[1], "it is cut")
            assert await code_of(writing) is grpc.StatusCode.OK
            await eventually(lambda: intruder.files() == [], "the unfinished archive is thrown away")
            assert await code_of(await intruder.opened()) is grpc.StatusCode.UNAUTHENTICATED

    run(rule())


def test_a_stream_that_is_cut_during_its_first_answer_ends_without_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def rule() -> None:
        async with intruding(tmp_path) as intruder:

            class Cut(Conversation[pb.FromVault, pb.ToVault]):
                async def send(self, message: pb.FromVault) -> None:
                    writing = asyncio.ensure_future(self._send(message))
                    await asyncio.sleep(0)  # It has begun.
                    intruder.controller.agents.remove(intruder.agents[1], "it is cut")
                    await writing

            monkeypatch.setattr(vault_streams, "Conversation", Cut)
            writing = await intruder.opened()
            await writing.write(BEGIN)
            await writing.read()
            assert await code_of(writing) is grpc.StatusCode.OK

    run(rule())


def test_a_step_that_is_over_permits_nothing_any_more(tmp_path: Path) -> None:
    async def rule() -> None:
        async with intruding(tmp_path) as intruder:
            agent = intruder.agents[1]
            with agent.archiving(RUNNER), agent.archiving(RUNNER):
                pass
            assert (agent.subject(RUNNER.uid), agent.subject(OTHER.uid)) == (None, OTHER)

    run(rule())


@pytest.mark.parametrize(
    ("messages", "answers"),
    [
        ([CONTENT], ["failure"]),
        ([COMMIT], ["failure"]),
        ([BEGIN, COMMIT], ["begun", "failure"]),
        ([BEGIN, CONTENT, COMMIT], ["begun", "failure"]),
        ([BEGIN, pb.ToVault(read_manifest=pb.ReadManifest())], ["begun", "failure"]),
        ([BEGIN, BEGIN], ["begun", "failure"]),
        ([BEGIN, CONTENT, VERIFY], ["begun", "failure"]),
        ([BEGIN, pb.ToVault()], ["begun", "failure"]),
        ([pb.ToVault(fetch=pb.Fetch(attempt=1))], ["failure"]),
        ([pb.ToVault(digest=pb.Digest(attempt=1))], ["failure"]),
        ([BEGIN], ["begun"]),
        ([], []),
    ],
)
def test_what_is_out_of_order_commits_nothing(
    tmp_path: Path, messages: list[pb.ToVault], answers: list[str | None]
) -> None:
    async def rule() -> None:
        async with intruding(tmp_path) as intruder:
            assert await intruder.said(*messages) == answers
            await eventually(lambda: intruder.files() == [], "nothing is left")

    run(rule())


@pytest.mark.parametrize("after", ["content", "verify", "other digests"])
def test_only_what_was_verified_is_committed(tmp_path: Path, after: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def verify(draft: LocalDraft, _progress: object) -> Digests:
        draft._verified = True
        return Digests("1" * 64, "2" * 64)

    monkeypatch.setattr(LocalDraft, "verify", verify)
    right = pb.ToVault(commit=pb.Digests(archive="1" * 64, manifest="2" * 64))
    then = {"content": CONTENT, "verify": VERIFY, "other digests": COMMIT}[after]

    async def rule() -> None:
        async with intruding(tmp_path) as intruder:
            assert await intruder.said(BEGIN, CONTENT, VERIFY, then, right) == ["begun", "digests", "failure"]
            assert await intruder.said(BEGIN, CONTENT, VERIFY, right) == ["begun", "digests", "receipt"]
            assert len(intruder.files()) == 2

    run(rule())


def test_the_next_archive_of_a_runner_waits_for_the_end_of_the_one_before(tmp_path: Path) -> None:
    async def rule() -> None:
        async with intruding(tmp_path) as intruder:
            first = await intruder.opened()
            await first.write(BEGIN)
            assert isinstance(await first.read(), pb.FromVault)
            second = asyncio.create_task(intruder.said(pb.ToVault(recover=pb.Recover())))
            lock = intruder.controller.vault._lock(OTHER.uid)
            await eventually(lambda: second.done() or bool(lock._waiters), "the second waits")
            assert not second.done()
            assert await intruder.said(pb.ToVault(fetch=pb.Fetch(attempt=1))) == ["failure"]
            first.cancel()
            assert await second == ["recovered"]
            assert intruder.files() == []

    run(rule())
