"""Which kubeconfig is meant. The official client reads KUBECONFIG once, when it is imported."""

import os
from pathlib import Path


def kubeconfig_of(given: Path | None) -> str | None:
    """The given file, else what KUBECONFIG says now, which may be several files; None for the default one."""
    return str(given) if given else os.environ.get("KUBECONFIG") or None
