"""Conditions as kstatus reads them: Reconciling and Stalled are present only while true."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Condition:
    """One aspect of the state; `message` is for people."""

    type: str
    status: bool
    reason: str
    message: str


def merge_conditions(
    old: Sequence[Mapping[str, Any]], new: Sequence[Condition], *, generation: int, now: str
) -> list[dict[str, Any]]:
    """Render conditions, keeping the transition time of those whose status stays the same.

    Args:
        old: what the resource says now.
        new: all conditions that hold; what is not among them goes away.
        generation: the `metadata.generation` that they are about.
        now: RFC 3339 in UTC.
    """
    known = {condition["type"]: condition for condition in old}
    merged = []
    for condition in new:
        status = "True" if condition.status else "False"
        before = known.get(condition.type, {})
        same = before.get("status") == status
        merged.append(
            {
                "type": condition.type,
                "status": status,
                "reason": condition.reason,
                "message": condition.message,
                "observedGeneration": generation,
                "lastTransitionTime": before["lastTransitionTime"] if same else now,
            }
        )
    return merged
