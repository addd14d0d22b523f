"""An operator that does what a test says, and a server that fails when it should."""

from metrics_storage.model.conditions import Condition
from tests.unit.storage.cluster import ApiServer, Object, conditions

READY = Condition("Ready", True, "Provisioned", "the directory exists and its claim is bound")
CONFLICT = Condition("Stalled", True, "ClaimConflict", "claim runners/runner-0 exists and is not ours")
UNAVAILABLE = Condition("Stalled", True, "VolumeUnavailable", "the quarantine volume is not mounted")
ARCHIVED = Condition("Quarantined", True, "Quarantined", "the archive is committed and verified")
COLLECTION = "/apis/metricsstorage.dev/v1/namespaces/runners/metricsstorages"


class ScriptedOperator:
    """An operator that gives each new resource the next status, and lets resources go as it is told."""

    def __init__(self) -> None:
        self.on_create: list[Object] = []
        self.on_annotation: list[Object] = []
        self.on_delete: list[Object] = []
        self.releases = True

    def __call__(self, body: Object) -> bool:
        metadata = body["metadata"]
        if "deletionTimestamp" in metadata:
            body["status"] = self.on_delete.pop(0) if self.on_delete else body.get("status", {})
            return self.releases
        script = self.on_annotation if "annotations" in metadata else self.on_create
        if script:
            body["status"] = script.pop(0)
        return False


def status(*given: Condition, generation: int = 1, path: str | None = "/srv/runner-0", **fields: object) -> Object:
    found: Object = {"conditions": conditions(*given, generation=generation), **fields}
    return found | ({"path": path} if path else {})


def fail_after(api: ApiServer, requests: int, code: int, body: Object) -> None:
    """Answer as usual so many times, and then once with a failure."""
    api.let_pass = requests
    api.failures = [(code, body)]
