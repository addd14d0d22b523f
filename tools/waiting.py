"""Waiting for conditions with a deadline; nothing ever waits for time to pass."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_PAUSE = 0.05
_SHORT_PAUSE = 0.005


def eventually(look: Callable[[], T | None], *, seconds: float, what: str) -> T:
    """The first true value that `look` gives; fails after `seconds`, saying `what` and what was seen last."""
    deadline = time.monotonic() + seconds
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what} (seen last: {seen!r})")
        time.sleep(_PAUSE)


async def eventually_meanwhile(holds: Callable[[], bool], *, seconds: float, what: str) -> None:
    """Wait until a condition holds, while everything else on the event loop goes on; fails like `eventually`."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        await asyncio.sleep(_SHORT_PAUSE)
