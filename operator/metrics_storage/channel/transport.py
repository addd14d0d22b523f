"""The one method of the channel as gRPC wants it, on the side that dials and on the side that serves."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

import grpc

from metrics_storage.channel import channel_pb2 as pb

Connect = grpc.aio.StreamStreamMultiCallable[pb.FromAgent, pb.ToAgent]
Stream = grpc.aio.StreamStreamCall[pb.FromAgent, pb.ToAgent]
Context = grpc.aio.ServicerContext[pb.FromAgent, pb.ToAgent]

_SERVICE: Final = "metricsstorage.channel.v1.Controller"
_METHOD: Final = "Connect"


def connect_on(channel: grpc.aio.Channel) -> Connect:
    """The method on a channel that was dialled."""
    connect: Connect = channel.stream_stream(
        f"/{_SERVICE}/{_METHOD}", pb.FromAgent.SerializeToString, pb.ToAgent.FromString
    )
    return connect


def add_to(server: grpc.aio.Server, connect: Callable[[AsyncIterator[pb.FromAgent], Context], Awaitable[None]]) -> None:
    """Have a server answer the method by `connect`."""
    handler = grpc.stream_stream_rpc_method_handler(connect, pb.FromAgent.FromString, pb.ToAgent.SerializeToString)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, {_METHOD: handler}),))
