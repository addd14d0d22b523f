"""What the demo's runners write into their directories: plain files, as CI jobs do, and one thing that is wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

__all__ = ["CUSTOM", "MINIMAL", "SCRIPTS"]

MINIMAL: Final = "runner-minimal"
CUSTOM: Final = "runner-custom"


def _metrics(job: str) -> str:
    before = json.dumps({"job": job, "state": "started"})
    after = json.dumps({"job": job, "state": "done", "seconds": 93})
    return f"echo '{before}' > pre-job-metrics.json\necho '{after}' > post-job-metrics.json"


SCRIPTS: Final[Mapping[str, str]] = {
    CUSTOM: _metrics("build"),
    "runner-evidence": _metrics("release"),
    "runner-retained": _metrics("test"),
    # Cut off in the middle, and a link in place of a file: what a collector must not believe or follow.
    MINIMAL: (
        """printf '{"job": "lint", "state": "sta' > pre-job-metrics.json\n"""
        "ln -s /etc/shadow state.json\n"
        "mkdir logs && seq 1 2000 > logs/job.log"
    ),
}
"""By name of the MetricsStorage: the script that the runner's user runs in the directory."""
