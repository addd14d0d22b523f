"""Pods as a runner controller makes them: not root, a read-only root, nothing of the cluster in their hands."""

from typing import Any, Final

from tools.cluster.nodes.images import RUNNER_IMAGE
from tools.installation.runners import Object, Runners
from tools.waiting import eventually

METRICS: Final = "/metrics"

WRITE_AND_END: Final = f"""\
echo '{{"state": "started"}}' > {METRICS}/pre-job-metrics.json
mkdir {METRICS}/logs
seq 1000 > {METRICS}/logs/job.log
echo '{{"state": "done"}}' > {METRICS}/post-job-metrics.json
"""
"""What an honest runner does."""

WRITE_AND_STAY: Final = f"""\
trap 'echo ended >> {METRICS}/end.txt; exit 0' TERM
echo 'not JSON' > {METRICS}/pre-job-metrics.json
while true; do date >> {METRICS}/beat.txt; test -e {METRICS}/pre-job-metrics.json || exit 7; sleep 0.1; done
"""
"""A runner that writes garbage and goes on; exit status 7 says that it saw its directory go."""

MUCH: Final = 768
WRITE_MUCH: Final = f"dd if=/dev/urandom of={METRICS}/job.log bs=1M count={MUCH} 2>/dev/null"
"""So many MiB that cannot be compressed take half a minute to archive."""


def runner_pod(name: str, script: str, *, claim: str = "", seconds: int = 5) -> dict[str, Any]:
    """A Pod that satisfies `restricted` and mounts the claim of its MetricsStorage, which has its name unless told."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": seconds,
            "dnsPolicy": "Default",
            "securityContext": {
                "runAsUser": 1000,
                "runAsGroup": 1000,
                "fsGroup": 1000,
                "runAsNonRoot": True,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "runner",
                    "image": RUNNER_IMAGE,
                    "command": ["sh", "-c", script],
                    "resources": {"requests": {"cpu": "5m", "memory": "8Mi"}},
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                    "volumeMounts": [{"name": "metrics", "mountPath": METRICS}],
                }
            ],
            "volumes": [{"name": "metrics", "persistentVolumeClaim": {"claimName": claim or name}}],
        },
    }


def manifest(runners: Runners, name: str, spec: Object | None = None) -> Object:
    """A MetricsStorage, to be applied."""
    return {
        "apiVersion": "metricsstorage.dev/v1",
        "kind": "MetricsStorage",
        "metadata": {"name": name, "namespace": runners.namespace},
        "spec": spec or {},
    }


def objects(runners: Runners, *names: str, script: str, spec: Object | None = None) -> list[Object]:
    """MetricsStorages, each with its Pod behind it, to be applied."""
    made = []
    for name in names:
        pod = runner_pod(name, script)
        pod["metadata"]["namespace"] = runners.namespace
        made += [manifest(runners, name, spec), pod]
    return made


def start(runners: Runners, *names: str, script: str, spec: Object | None = None) -> None:
    """Apply MetricsStorages and their Pods in one go, as a runner controller does."""
    runners.apply_objects(objects(runners, *names, script=script, spec=spec))


def run_to_end(runners: Runners, name: str, script: str, *, claim: str = "") -> str:
    """What a Pod prints that mounts a claim, runs a script and ends well."""
    pod = runner_pod(name, script, claim=claim)
    pod["metadata"]["namespace"] = runners.namespace
    runners.apply_objects([pod])
    wait_phase(runners, name, "Succeeded")
    return runners.kubectl("logs", name)


def phase(runners: Runners, name: str) -> str:
    """A Pod's phase, empty where there is no such Pod."""
    pod = runners.get("pod", name)
    return str(pod["status"]["phase"]) if pod else ""


def wait_phase(runners: Runners, name: str, wanted: str, seconds: float = 60) -> None:
    """Wait until a Pod is in a phase; the failure tells its events."""
    try:
        eventually(lambda: phase(runners, name) == wanted, seconds=seconds, what=f"Pod {name} is {wanted}")
    except AssertionError as exc:
        raise AssertionError(f"{exc}\n{runners.kubectl('describe', 'pod', name, check=False)}") from None
