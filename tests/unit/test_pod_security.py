"""Which profile of Pod Security each shipped Pod satisfies, by the standard itself and not by our labels."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.pod_security import forbidden_by_baseline, forbidden_by_restricted, profile_of
from tests.unit.rendering import MANIFESTS, RENDERED, only, pod_spec

_RUNNER = MANIFESTS / "samples" / "pod" / "runner-minimal.yaml"


def runner() -> dict[str, Any]:
    """The specification of the sample's Pod, which satisfies restricted."""
    spec: dict[str, Any] = yaml.safe_load(_RUNNER.read_text())["spec"]
    return spec


@pytest.mark.parametrize("folder", RENDERED)
def test_the_namespace_enforces_the_strictest_profile_that_admits_the_operator(folder: str) -> None:
    enforced = only(folder, "Namespace")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
    assert profile_of(pod_spec(folder)) == enforced


@pytest.mark.parametrize("folder", ["base", "overlays/kind", "overlays/namespaced"])
def test_all_that_keeps_the_operator_from_restricted_is_root_with_its_capabilities(folder: str) -> None:
    assert set(forbidden_by_restricted(pod_spec(folder))) == {
        "runAsUser 0",
        "operator: runAsNonRoot",
        "operator: capabilities.add",
    }


def test_all_that_keeps_the_operator_on_host_paths_from_baseline_are_its_two_volumes() -> None:
    assert set(forbidden_by_baseline(pod_spec("overlays/hostpath"))) == {
        "volume storage: hostPath",
        "volume quarantine: hostPath",
    }


def test_the_runner_of_the_sample_runs_in_the_namespace_of_the_samples() -> None:
    namespace = yaml.safe_load(Path(MANIFESTS / "samples" / "00-namespace.yaml").read_text())
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == profile_of(runner())


@pytest.mark.parametrize(
    ("place", "value", "profile"),
    [
        (("hostPID",), True, "privileged"),
        (("hostNetwork",), True, "privileged"),
        (("volumes", 0), {"name": "x", "hostPath": {"path": "/"}}, "privileged"),
        (("volumes", 0), {"name": "x", "nfs": {"server": "s", "path": "/"}}, "baseline"),
        (("securityContext", "sysctls"), [{"name": "kernel.msgmax", "value": "1"}], "privileged"),
        (("securityContext", "seccompProfile", "type"), "Unconfined", "privileged"),
        (("securityContext", "runAsNonRoot"), False, "baseline"),
        (("securityContext", "runAsUser"), 0, "baseline"),
        (("containers", 0, "ports"), [{"containerPort": 1, "hostPort": 1}], "privileged"),
        (("containers", 0, "securityContext", "privileged"), True, "privileged"),
        (("containers", 0, "securityContext", "procMount"), "Unmasked", "privileged"),
        (("containers", 0, "securityContext", "seLinuxOptions"), {"type": "spc_t"}, "privileged"),
        (("containers", 0, "securityContext", "appArmorProfile"), {"type": "Unconfined"}, "privileged"),
        (("containers", 0, "securityContext", "allowPrivilegeEscalation"), True, "baseline"),
        (("containers", 0, "securityContext", "capabilities"), {}, "baseline"),
        (("containers", 0, "securityContext", "capabilities"), {"drop": ["ALL"], "add": ["CHOWN"]}, "baseline"),
        (("containers", 0, "securityContext", "capabilities"), {"drop": ["ALL"], "add": ["SYS_ADMIN"]}, "privileged"),
    ],
)
def test_one_wrong_field_is_enough(place: tuple[Any, ...], value: object, profile: str) -> None:
    spec = copy.deepcopy(runner())
    parent: Any = spec
    for step in place[:-1]:
        parent = parent[step]
    parent[place[-1]] = value
    assert profile_of(spec) == profile
