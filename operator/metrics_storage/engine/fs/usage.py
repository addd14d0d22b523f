"""How much of a volume a directory uses.

Counts what the disk holds (blocks), not what files claim to be: that is what can be compared to a capacity,
and a file of holes cannot inflate it. Deliberately no quota and no policy.
"""

import os
from collections import defaultdict
from contextlib import closing
from typing import Final

from metrics_storage.engine.fs.walk import Meter, Progress, Step, walk
from metrics_storage.model.usage import Usage

_BLOCK: Final = 512
"""Unit of `st_blocks` in bytes on Linux, whatever the file system's block size."""


def measure(fd: int, *, progress: Progress | None = None) -> Usage:
    """Measure the tree below an open directory; what vanishes or cannot be read meanwhile is not counted.

    A file with several hard links is charged to each of them in equal shares: links that all lie inside count
    once together, as `du` counts them, links elsewhere carry their own part, and no table of inodes is needed.

    `progress` is told entries only; its bytes are always 0.

    Raises:
        OSError: the directory itself cannot be listed.
    """
    files = blocks = 0
    shared_blocks: dict[int, int] = defaultdict(int)
    meter = Meter(progress)
    with closing(walk(fd)) as visits:
        for visit in visits:
            meter.add(entries=visit.step is not Step.LEAVE)
            if visit.problem is not None and visit.name == b".":
                raise OSError(visit.problem, os.strerror(visit.problem))
            if visit.stat is None or visit.problem is not None:
                continue
            if visit.step is Step.ENTER:
                blocks += visit.stat.st_blocks
                continue
            files += 1
            if visit.stat.st_nlink > 1:
                shared_blocks[visit.stat.st_nlink] += visit.stat.st_blocks
            else:
                blocks += visit.stat.st_blocks
    shared = sum(total * _BLOCK // links for links, total in shared_blocks.items())
    return Usage(blocks * _BLOCK + shared, files)
