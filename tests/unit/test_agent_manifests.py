"""What the overlay for many nodes promises to whoever reviews it, checked without a cluster."""

from pathlib import Path
from typing import Any, Final

import pytest

from metrics_storage import constants
from metrics_storage.agent.settings import AgentSettings
from metrics_storage.cli.agent import agent
from metrics_storage.controller.fleet.authentication import AUDIENCE
from metrics_storage.kube import authority
from tests.unit.cli.parsing import settings_of
from tests.unit.pod_security import forbidden_by_baseline, profile_of
from tests.unit.rendering import Manifest, container, only, pod_spec, rendered, variables

FOLDER: Final = "overlays/agents"


def agents() -> Manifest:
    """The specification of an agent's Pod."""
    spec: Manifest = only(FOLDER, "DaemonSet")["spec"]["template"]["spec"]
    return spec


def agent_settings(monkeypatch: pytest.MonkeyPatch) -> AgentSettings:
    (found,) = agents()["containers"]
    for entry in found["env"]:
        if "value" in entry:
            monkeypatch.setenv(entry["name"], entry["value"])
    flags = [argument.replace("$(POD_NAMESPACE)", "metrics-storage") for argument in found["args"]]
    assert flags[0] == "agent"
    return AgentSettings(**agent.make_context("agent", flags[1:]).params)


def volume(name: str) -> dict[str, Any]:
    """A volume of an agent's Pod, without its name."""
    (found,) = [dict(each) for each in agents()["volumes"] if each["name"] == name]
    del found["name"]
    return found


def mount(name: str) -> Path:
    """Where an agent finds one of its volumes."""
    (found,) = agents()["containers"]
    (path,) = [each["mountPath"] for each in found["volumeMounts"] if each["name"] == name]
    return Path(path)


def test_an_agent_has_the_operators_capabilities_and_no_token_for_the_api_server() -> None:
    spec = agents()
    assert spec["securityContext"] == pod_spec("base")["securityContext"]
    assert spec["containers"][0]["securityContext"] == container("base")["securityContext"]
    assert spec["automountServiceAccountToken"] is False
    accounts = [
        subject["name"]
        for manifest in rendered(FOLDER)
        if manifest["kind"].endswith("RoleBinding")
        for subject in manifest["subjects"]
    ]
    assert set(accounts) == {"metrics-storage-operator"}
    assert spec["serviceAccountName"] == "metrics-storage-agent"


def test_an_agents_token_is_for_the_controller_alone_and_renewed() -> None:
    (source,) = volume("token")["projected"]["sources"]
    assert source == {"serviceAccountToken": {"audience": AUDIENCE, "expirationSeconds": 3600, "path": "token"}}


def test_an_agent_starts_with_the_arguments_of_its_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = agent_settings(monkeypatch)
    assert settings.controller == ("metrics-storage-controller.metrics-storage.svc", 8443)
    assert settings.storage_root == mount("storage")
    assert settings.token_file == mount("token") / "token"
    assert settings.ca_file == mount("controller-ca") / authority.FILE
    assert volume("controller-ca") == {"configMap": {"name": authority.NAME}}


def test_the_controller_starts_with_the_arguments_of_its_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables(FOLDER).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("METRICS_STORAGE_OPERATOR_NAMESPACE", "metrics-storage")
    command, *flags = container(FOLDER)["args"]
    settings = settings_of(flags)
    assert (command, settings.agents, settings.storage_root) == ("run", True, None)
    assert volume("storage")["hostPath"] == {"path": str(settings.agents_directory), "type": "DirectoryOrCreate"}
    assert settings.agents_service_account == agents()["serviceAccountName"]
    claims = [each["persistentVolumeClaim"] for each in pod_spec(FOLDER)["volumes"] if "persistentVolumeClaim" in each]
    assert claims == [{"claimName": "metrics-storage-quarantine"}]
    assert only(FOLDER, "PersistentVolumeClaim")["metadata"]["name"] == "metrics-storage-quarantine"


def test_every_node_has_an_agent_that_no_taint_keeps_away() -> None:
    spec = agents()
    assert spec["tolerations"] == [{"operator": "Exists"}]
    priority = only(FOLDER, "PriorityClass")
    assert spec["priorityClassName"] == priority["metadata"]["name"]
    assert 0 < priority["value"] < 1_000_000_000
    assert only(FOLDER, "DaemonSet")["spec"]["updateStrategy"]["rollingUpdate"] == {"maxUnavailable": "10%"}


def test_pods_that_wait_for_a_directory_are_sent_where_agents_are() -> None:
    classes = {each["metadata"]["name"]: each for each in rendered(FOLDER) if each["kind"] == "StorageClass"}
    assert set(classes) == {constants.STORAGE_CLASS, constants.WAITING_STORAGE_CLASS}
    waiting = classes[constants.WAITING_STORAGE_CLASS]
    assert waiting["volumeBindingMode"] == "WaitForFirstConsumer"
    assert waiting["provisioner"] != "kubernetes.io/no-provisioner"  # For those the scheduler looks for volumes.
    (term,) = waiting["allowedTopologies"]
    (label,) = term["matchLabelExpressions"]
    assert agents()["nodeSelector"][label["key"]] in label["values"]


def test_agents_reach_the_controller_and_nobody_reaches_agents() -> None:
    service = only(FOLDER, "Service")["spec"]
    (port,) = service["ports"]
    named = {each["name"]: each["containerPort"] for each in container(FOLDER)["ports"]}
    assert named[port["targetPort"]] == port["port"] == 8443
    controllers = only(FOLDER, "Deployment")["spec"]["template"]["metadata"]["labels"]
    labels = only(FOLDER, "DaemonSet")["spec"]["template"]["metadata"]["labels"]
    assert service["selector"].items() <= controllers.items()
    assert not service["selector"].items() <= labels.items()
    policies = {each["metadata"]["name"]: each["spec"] for each in rendered(FOLDER) if each["kind"] == "NetworkPolicy"}
    assert policies["metrics-storage-agent"]["ingress"] == []
    assert policies["metrics-storage-agent"]["podSelector"]["matchLabels"].items() <= labels.items()
    (rule,) = policies["metrics-storage-controller"]["ingress"]
    assert rule["from"] == [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": "metrics-storage-agent"}}}]
    assert rule["ports"] == [{"protocol": "TCP", "port": "agents"}]


def test_all_that_keeps_an_agent_from_baseline_is_its_host_path() -> None:
    assert set(forbidden_by_baseline(agents())) == {"volume storage: hostPath"}
    assert profile_of(pod_spec(FOLDER)) == "baseline"
    labels = only(FOLDER, "Namespace")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == profile_of(agents()) == "privileged"


def test_both_run_the_same_image() -> None:
    assert agents()["containers"][0]["image"] == container(FOLDER)["image"] == container("base")["image"]
