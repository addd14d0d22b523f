"""kopf's bookkeeping in memory, where nobody who may patch a MetricsStorage can forge it.

kopf keeps in annotations what it handled and how far it came. Whoever may patch those could declare a deletion
done, and a copied object would carry the record of another. Everything here is level-based, so a restart that
forgets all of it only looks at everything once more.
"""

import copy
import time
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, Final

import kopf

from metrics_storage.constants import KOPF_PREFIX

_TOUCHED: Final = f"{KOPF_PREFIX}/touched"
"""The one annotation that is still written: a changed value makes the API server send the object again."""

_CLOCK_DRIFT: Final = 1.0
"""Seconds that a clock may be corrected by in the meantime without a step."""


def _clock_ahead() -> float:
    return time.time() - time.monotonic()


class Bookkeeping:
    """Everything that kopf keeps about objects."""

    def __init__(self) -> None:
        self.progress = InMemoryProgressStorage()
        self.diff_base = InMemoryDiffBase()

    def knows(self, uid: str) -> bool:
        """Whether kopf has been told of an object at all."""
        return uid in self.diff_base.asked

    def forget(self, uid: str) -> None:
        """Drop everything about an object that is gone."""
        self.progress.forget(uid)
        self.diff_base.forget(uid)


class InMemoryProgressStorage(kopf.ProgressStorage):
    """How far handlers came, by the uid of the object."""

    def __init__(self) -> None:
        super().__init__()
        self._records: dict[str, dict[str, tuple[dict[str, Any], float]]] = {}
        """Records as kopf gave them, and how far the clock was from the monotonic one at that time."""

    def fetch(self, *, key: str, body: kopf.Body) -> Any:
        record, ahead = self._records.get(str(body.metadata.uid), {}).get(key, (None, 0.0))
        record = copy.deepcopy(record)
        # kopf keeps the time of the next attempt by the clock; one that was set back would put it off for as long.
        if record and record.get("delayed") and abs(step := _clock_ahead() - ahead) > _CLOCK_DRIFT:
            record["delayed"] = (datetime.fromisoformat(record["delayed"]) + timedelta(seconds=step)).isoformat()
        return record

    def store(self, *, key: str, record: Any, body: kopf.Body, patch: kopf.Patch) -> None:
        self._records.setdefault(str(body.metadata.uid), {})[key] = (dict(record), _clock_ahead())

    def purge(self, *, key: str, body: kopf.Body, patch: kopf.Patch) -> None:
        self._records.get(str(body.metadata.uid), {}).pop(key, None)

    def touch(self, *, body: kopf.Body, patch: kopf.Patch, value: str | None) -> None:
        if body.metadata.annotations.get(_TOUCHED) != value:
            patch.metadata.annotations[_TOUCHED] = value

    def clear(self, *, essence: Any) -> Any:
        """Take out of an object what kopf itself wrote, so that its own touch is not a change."""
        essence = copy.deepcopy(essence)
        self.remove_annotations(essence, {_TOUCHED})
        self.remove_empty_stanzas(essence)
        return essence

    def forget(self, uid: str) -> None:
        """Drop everything about an object that is gone."""
        self._records.pop(uid, None)


class InMemoryDiffBase(kopf.DiffBaseStorage):
    """What was last handled, by the uid of the object."""

    def __init__(self) -> None:
        super().__init__()
        self._essences: dict[str, Any] = {}
        self.asked: set[str] = set()
        """Uids that kopf asked about, which it does at every event of an object."""

    def fetch(self, *, body: kopf.Body) -> Any:
        self.asked.add(str(body.metadata.uid))
        return copy.deepcopy(self._essences.get(str(body.metadata.uid)))

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: Any) -> None:
        self._essences[str(body.metadata.uid)] = copy.deepcopy(essence)

    def forget(self, uid: str) -> None:
        """Drop everything about an object that is gone."""
        self._essences.pop(uid, None)
        self.asked.discard(uid)

    def _detect_marked_prefixes(self, keys: Collection[str]) -> Collection[str]:
        """No annotation of a tenant makes kopf blind for annotations, not even those that mark other operators."""
        return ()
