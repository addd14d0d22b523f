"""Which provider a test run uses, and which clusters it may touch. Pure decisions, no side effects.

A cluster that is not known to be a test cluster is refused: tests create, kill and delete at will. Not
responsible for starting anything.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tools.cluster.errors import ClusterError

__all__ = ["ALLOW_VARIABLE", "PROVIDERS", "Choice", "Wish", "allowed_contexts", "check_context", "choose"]

PROVIDERS = ("auto", "local", "kind", "kubeconfig")
ALLOW_VARIABLE = "METRICS_STORAGE_TEST_ALLOW_CONTEXTS"

_PREFIXES = ("kind-", "metrics-storage-")
_LOOPBACK = ("127.0.0.1", "localhost", "::1", "[::1]", "0.0.0.0")


@dataclass(frozen=True)
class Wish:
    """What was asked for on the command line."""

    provider: str = "auto"
    kubeconfig: Path | None = None
    context: str | None = None  # None: the kubeconfig's current one
    allow: tuple[str, ...] = ()  # further contexts, by exact name


@dataclass(frozen=True)
class Choice:
    provider: str  # one of PROVIDERS except "auto"
    reason: str


def choose(wish: Wish, kind_obstacle: Callable[[], str | None]) -> Choice:
    """The provider for a wish; `kind_obstacle` says why kind cannot be used here (None: it can).

    Raises ClusterError for an unknown provider and for kubeconfig options that fit none.
    """
    if wish.provider not in PROVIDERS:
        raise ClusterError(f"unknown cluster provider {wish.provider!r}: expected one of {', '.join(PROVIDERS)}")
    if wish.provider in ("local", "kind") and (wish.kubeconfig or wish.context):
        raise ClusterError(
            f"--cluster={wish.provider} starts a cluster of its own and takes no --cluster-kubeconfig or "
            "--cluster-context: leave them out, or use --cluster=kubeconfig"
        )
    if wish.kubeconfig is None and (wish.provider == "kubeconfig" or wish.context):
        raise ClusterError(
            "an existing cluster is only used when its kubeconfig is named: add --cluster-kubeconfig FILE "
            "(the environment's KUBECONFIG is not taken, it may well be a production cluster)"
        )
    if wish.provider == "kubeconfig":
        return Choice("kubeconfig", "asked for by --cluster=kubeconfig")
    if wish.kubeconfig is not None:
        return Choice("kubeconfig", "a kubeconfig was given by --cluster-kubeconfig")
    obstacle = None if wish.provider == "local" else kind_obstacle()
    if wish.provider == "kind":
        if obstacle is not None:
            raise ClusterError(f"--cluster=kind cannot be used here: {obstacle}; use --cluster=local")
        return Choice("kind", "asked for by --cluster=kind")
    if wish.provider == "local":
        return Choice("local", "asked for by --cluster=local")
    if obstacle is None:
        return Choice("kind", "kind is installed and a container engine answers")
    return Choice("local", f"no kubeconfig was given and {obstacle}")


def allowed_contexts(options: Sequence[str], environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Exact context names from options and from the environment variable, separated there by commas."""
    listed = environment.get(ALLOW_VARIABLE, "").split(",")
    return tuple(name.strip() for name in (*options, *listed) if name.strip())


def check_context(config: Mapping[str, Any], wanted: str | None, allow: Sequence[str]) -> str:
    """The context of a parsed kubeconfig that tests may use; `wanted` None means its current one.

    Allowed are the names in `allow`, and contexts as kind and this package make them: called kind-* or
    metrics-storage-*, naming cluster and user the same, with a server on this machine. A name alone would
    let a renamed production context through. Raises ClusterError for all others.
    """
    context = wanted or config.get("current-context") or ""
    entries = {entry["name"]: entry["context"] for entry in config.get("contexts") or []}
    if context not in entries:
        known = ", ".join(sorted(entries)) or "none"
        raise ClusterError(f"the kubeconfig has no context {context!r} (it has: {known}): choose by --cluster-context")
    if context in allow:
        return context
    how = (
        "nothing was touched; if it is really a cluster to be littered, allow it by "
        f"--allow-context {context} or {ALLOW_VARIABLE}={context}"
    )
    if not context.startswith(_PREFIXES):
        raise ClusterError(
            f"context {context!r} is not known to be a test cluster (kind-* and metrics-storage-* are); {how}"
        )
    names = (entries[context].get("cluster"), entries[context].get("user"))
    if names != (context, context):
        raise ClusterError(
            f"context {context!r} points at cluster {names[0]!r} and user {names[1]!r}: what kind and this "
            f"project make has the same name three times, so this was made by somebody else; {how}"
        )
    server = next((c["cluster"]["server"] for c in config.get("clusters") or [] if c["name"] == context), "")
    if urlsplit(server).hostname not in _LOOPBACK:
        raise ClusterError(f"context {context!r} has its server at {server!r}, not on this machine; {how}")
    return context
