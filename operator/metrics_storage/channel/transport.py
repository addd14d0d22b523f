"""The methods of the channel as gRPC wants them, on the side that dials and on the side that serves."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, TypeVar

import grpc

from metrics_storage.channel import channel_pb2 as pb
from metrics_storage.channel.protocol import HELLO_TIMEOUT

Connect = grpc.aio.StreamStreamMultiCallable[pb.FromAgent, pb.ToAgent]
Stream = grpc.aio.StreamStreamCall[pb.FromAgent, pb.ToAgent]
Context = grpc.aio.ServicerContext[pb.FromAgent, pb.ToAgent]

VaultStream = grpc.aio.StreamStreamCall[pb.ToVault, pb.FromVault]
VaultContext = grpc.aio.ServicerContext[pb.ToVault, pb.FromVault]

_Message = TypeVar("_Message")

_SERVICE: Final = "metricsstorage.channel.v1.Controller"
_CONNECT: Final = "Connect"
_VAULT: Final = "Vault"


def connect_on(channel: grpc.aio.Channel) -> Connect:
    """The method of connections, on a channel that was dialled."""
    connect: Connect = channel.stream_stream(
        f"/{_SERVICE}/{_CONNECT}", pb.FromAgent.SerializeToString, pb.ToAgent.FromString
    )
    return connect


def vault_on(channel: grpc.aio.Channel) -> VaultStream:
    """A new stream to the vault, on a channel that was dialled."""
    vault: grpc.aio.StreamStreamMultiCallable[pb.ToVault, pb.FromVault] = channel.stream_stream(
        f"/{_SERVICE}/{_VAULT}", pb.ToVault.SerializeToString, pb.FromVault.FromString
    )
    return vault()


async def first_of(messages: AsyncIterator[_Message]) -> _Message | None:
    """The first message of a stream, None where there is none in time."""
    try:
        async with asyncio.timeout(HELLO_TIMEOUT):
            return await anext(messages, None)
    except TimeoutError:
        return None


def described(error: Exception) -> str:
    """What gRPC says of the end of a stream, for people."""
    return str(error.details() or error.code().name) if isinstance(error, grpc.aio.AioRpcError) else str(error)


def add_to(
    server: grpc.aio.Server,
    connect: Callable[[AsyncIterator[pb.FromAgent], Context], Awaitable[None]],
    vault: Callable[[AsyncIterator[pb.ToVault], VaultContext], Awaitable[None]],
) -> None:
    """Have a server answer both methods."""
    handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
        _CONNECT: grpc.stream_stream_rpc_method_handler(connect, pb.FromAgent.FromString, pb.ToAgent.SerializeToString),
        _VAULT: grpc.stream_stream_rpc_method_handler(vault, pb.ToVault.FromString, pb.FromVault.SerializeToString),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, handlers),))
