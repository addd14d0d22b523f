"""What both sides of the channel have in common: its version, how a token is shown, how long silence may last."""

from typing import Final

VERSION: Final = 1
"""Of the messages. Both sides must have the same one; fields may be added without another."""

AUTHORIZATION: Final = "authorization"
"""Metadata in which an agent shows its token, as `Bearer TOKEN`."""

SERVER_NAME: Final = "metrics-storage-controller"
"""The name in the controller's certificate, by whatever address it is reached."""

HELLO_TIMEOUT: Final = 10.0
"""Seconds that each side waits for the other's first message."""

PIECE: Final = 1 << 18
"""Most bytes of a file that one message has; less than a message may have, so that many streams share a connection."""

MAX_MESSAGE_BYTES: Final = 16 << 20
"""Longest message: all uids of a volume are one, and 300,000 of them fit."""

KEEPALIVE: Final = (
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
)
"""gRPC options of both sides: a connection that is cut without a word is over after half a minute."""
