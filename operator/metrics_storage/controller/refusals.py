"""How often the API server refused what a MetricsStorage needs, and when that is a matter for a person."""

from typing import Final

from metrics_storage.errors import KubernetesError, PersistentlyRefusedError
from metrics_storage.model.identity import Uid

_ATTEMPTS: Final = 3
"""Attempts that are refused before a person is called; they go on nevertheless."""


class Refusals:
    """Counts, by uid, the attempts that were refused one after the other."""

    def __init__(self) -> None:
        self._counts: dict[Uid, int] = {}

    def judge(self, uid: Uid, error: KubernetesError, *, known: bool) -> KubernetesError:
        """The error of an attempt as it is to be told: itself, or one that calls a person.

        `known` says that a person was called already, before this process began or since.
        """
        if not error.is_refusal:
            return error
        self._counts[uid] = self._counts.get(uid, 0) + 1
        if self._counts[uid] < _ATTEMPTS and not known:
            return error
        return PersistentlyRefusedError(
            f"the API server refuses what this needs: {error}. See to the policy, quota, limit or webhook that "
            "forbids it, or to what this MetricsStorage asks for; everything is kept, and it is tried again",
            error.status,
        )

    def forget(self, uid: Uid) -> None:
        """Begin anew, after an attempt that succeeded or for a MetricsStorage that is gone."""
        self._counts.pop(uid, None)
