"""The agent that is killed: `python -m tests.faults.channel.agent ROOT PORT` serves a node's volume until then.

It ends with its standard input, which whoever started it holds open.
"""

import asyncio
import logging
import os
import sys
import threading
from pathlib import Path

from tests.contract.fleet import node

PAUSE = 0.005
"""Seconds before the second attempt to connect."""


async def serve(root: Path, port: int) -> None:
    """Say the volume's id, and serve."""
    async with node(root) as here:
        print(here.volume_id, flush=True)
        await here.connection(port, first_pause=PAUSE).run()


def _end_with_input() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    threading.Thread(target=_end_with_input, daemon=True).start()
    logging.disable(logging.ERROR)
    asyncio.run(serve(Path(sys.argv[1]), int(sys.argv[2])))
