"""What the manifests promise to whoever reviews them, checked without a cluster."""

import re
from typing import Final

import pytest

from metrics_storage.kube.volume_source import parse_volume_source
from tests.unit.cli.parsing import settings_of
from tests.unit.rendering import (
    MANIFESTS,
    RENDERED,
    ROOT,
    arguments,
    container,
    only,
    pod_spec,
    rendered,
    variables,
)

FLAGS: Final = {
    "--volume-source",
    "--node-name",
    "--cluster",
    "--namespace",
    "--workers",
    "--archive-workers",
    "--sweep-interval",
    "--health-address",
    "--log-format",
}


def test_every_folder_of_manifests_that_can_be_applied_is_tested() -> None:
    folders = {path.parent.relative_to(MANIFESTS) for path in MANIFESTS.rglob("kustomization.yaml")}

    assert sorted(map(str, folders)) == sorted(
        [*RENDERED, "overlays/agents", "components/namespaced", "components/user-roles", "policies"]
    )


@pytest.mark.parametrize("folder", RENDERED)
def test_the_pod_is_root_with_four_capabilities_and_nothing_more(folder: str) -> None:
    assert pod_spec(folder)["securityContext"] == {
        "runAsUser": 0,
        "runAsGroup": 0,
        "runAsNonRoot": False,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container(folder)["securityContext"] == {
        "privileged": False,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"], "add": ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID"]},
    }
    assert not {"hostPID", "hostIPC", "hostNetwork"} & pod_spec(folder).keys()


@pytest.mark.parametrize(
    ("folder", "profile"),
    [
        ("base", "baseline"),
        ("overlays/kind", "baseline"),
        ("overlays/namespaced", "baseline"),
        ("overlays/hostpath", "privileged"),
    ],
)
def test_the_namespace_enforces_the_profile_that_the_pod_satisfies(folder: str, profile: str) -> None:
    labels = only(folder, "Namespace")["metadata"]["labels"]

    assert {key: value for key, value in labels.items() if key.startswith("pod-security")} == {
        "pod-security.kubernetes.io/enforce": profile,
        "pod-security.kubernetes.io/audit": profile,
        "pod-security.kubernetes.io/warn": profile,
    }


@pytest.mark.parametrize("folder", RENDERED)
def test_only_one_operator_runs_at_a_time(folder: str) -> None:
    spec = only(folder, "Deployment")["spec"]

    assert spec["replicas"] == 1
    assert spec["strategy"] == {"type": "Recreate"}
    assert spec["template"]["spec"]["terminationGracePeriodSeconds"] == 60


@pytest.mark.parametrize("folder", RENDERED)
def test_the_probes_ask_the_address_that_the_operator_listens_on(folder: str) -> None:
    operator = container(folder)

    assert arguments(folder)["--health-address"] == "0.0.0.0:8080"
    assert operator["ports"] == [{"name": "health", "containerPort": 8080, "protocol": "TCP"}]
    assert {probe: operator[probe]["httpGet"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")} == {
        "startupProbe": {"path": "/livez", "port": "health"},
        "livenessProbe": {"path": "/livez", "port": "health"},
        "readinessProbe": {"path": "/readyz", "port": "health"},
    }


@pytest.mark.parametrize("folder", RENDERED)
def test_the_image_is_of_this_version(folder: str) -> None:
    version = re.search(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    labels = only(folder, "Deployment")["spec"]["template"]["metadata"]["labels"]

    assert version is not None
    assert container(folder)["image"] == f"metrics-storage-operator:{version[1]}"
    assert labels["app.kubernetes.io/version"] == version[1]
    assert f"ARG VERSION={version[1]}\n" in (ROOT / "Dockerfile").read_text()


def test_no_image_is_called_by_a_moving_tag_or_a_registry() -> None:
    images = [
        match[1]
        for path in MANIFESTS.rglob("*.yaml")
        for match in re.finditer(r"^\s*(?:- )?image: *(\S+)", path.read_text(), re.MULTILINE)
    ]

    assert sorted(images) == ["busybox:1.36", "metrics-storage-operator", "metrics-storage-operator"]


@pytest.mark.parametrize("folder", RENDERED)
def test_only_flags_that_the_operator_knows_are_used(folder: str) -> None:
    assert set(arguments(folder)) <= FLAGS
    assert {variable["name"] for variable in container(folder)["env"]} == {
        "METRICS_STORAGE_STORAGE_ROOT",
        "METRICS_STORAGE_QUARANTINE_ROOT",
        "METRICS_STORAGE_OPERATOR_NAMESPACE",
        "POD_NAMESPACE",
        "NODE_NAME",
    }


@pytest.mark.parametrize("folder", RENDERED)
def test_the_operator_starts_with_the_arguments_of_its_pod(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables(folder).items():
        monkeypatch.setenv(name, value)
    expanded = [
        argument.replace("$(POD_NAMESPACE)", "metrics-storage").replace("$(NODE_NAME)", "worker-1")
        for argument in container(folder)["args"]
    ]

    settings = settings_of(expanded[1:])

    assert settings.health_address == ("0.0.0.0", 8080)
    assert settings.node_name == "worker-1"
    assert settings.namespaces == (("runners",) if folder == "overlays/namespaced" else ())
    parse_volume_source(settings.volume_source, settings.node_name)


@pytest.mark.parametrize(
    ("folder", "source"),
    [
        ("base", "claim:$(POD_NAMESPACE)/metrics-storage"),
        ("overlays/kind", "claim:$(POD_NAMESPACE)/metrics-storage"),
        ("overlays/namespaced", "claim:$(POD_NAMESPACE)/metrics-storage"),
        ("overlays/hostpath", "hostpath:/var/lib/metrics-storage/storage"),
    ],
)
def test_volumes_are_derived_from_what_the_operator_itself_mounts(folder: str, source: str) -> None:
    volumes = {volume["name"]: volume for volume in pod_spec(folder)["volumes"]}
    mounts = {mount["name"]: mount["mountPath"] for mount in container(folder)["volumeMounts"]}
    claims = {m["metadata"]["name"] for m in rendered(folder) if m["kind"] == "PersistentVolumeClaim"}

    assert arguments(folder)["--volume-source"] == source
    assert variables(folder)["METRICS_STORAGE_STORAGE_ROOT"] == mounts["storage"] == "/var/lib/metrics-storage/storage"
    assert (
        variables(folder)["METRICS_STORAGE_QUARANTINE_ROOT"]
        == mounts["quarantine"]
        == "/var/lib/metrics-storage/quarantine"
    )
    if source.startswith("hostpath:"):
        assert volumes["storage"]["hostPath"] == {
            "path": source.removeprefix("hostpath:"),
            "type": "Directory",
        }
        assert claims == set()
    else:
        assert volumes["storage"]["persistentVolumeClaim"] == {"claimName": "metrics-storage"}
        assert volumes["quarantine"]["persistentVolumeClaim"] == {"claimName": "metrics-storage-quarantine"}
        assert claims == {"metrics-storage", "metrics-storage-quarantine"}


def test_the_operator_for_given_namespaces_is_told_which() -> None:
    assert arguments("overlays/namespaced")["--namespace"] == "runners"
    assert "--namespace" not in arguments("base")


def test_the_operator_on_host_paths_stays_on_its_node() -> None:
    assert pod_spec("overlays/hostpath")["nodeSelector"] == {
        "kubernetes.io/os": "linux",
        "metricsstorage.dev/storage": "here",
    }
    assert arguments("overlays/hostpath")["--node-name"] == "$(NODE_NAME)"


def test_an_image_that_was_loaded_into_kind_is_not_pulled() -> None:
    assert container("overlays/kind")["imagePullPolicy"] == "IfNotPresent"


def test_the_storage_class_binds_at_once_and_provisions_nothing() -> None:
    storage_class = only("base", "StorageClass")

    assert storage_class["metadata"]["name"] == "metrics-storage"
    assert storage_class["provisioner"] == "kubernetes.io/no-provisioner"
    assert storage_class["volumeBindingMode"] == "WaitForFirstConsumer"
    assert storage_class["reclaimPolicy"] == "Retain"


@pytest.mark.parametrize("folder", RENDERED)
def test_nothing_carries_the_label_by_which_the_operator_finds_its_volumes(folder: str) -> None:
    for manifest in rendered(folder):
        labels = manifest["metadata"]["labels"]
        assert labels["app.kubernetes.io/part-of"] == "metrics-storage"
        assert "app.kubernetes.io/managed-by" not in labels


@pytest.mark.parametrize("kind", ["CustomResourceDefinition", "Namespace", "PersistentVolumeClaim"])
def test_nothing_that_holds_data_is_pruned_by_a_pipeline(kind: str) -> None:
    guarded = [manifest for manifest in rendered("base") if manifest["kind"] == kind]

    assert guarded
    for manifest in guarded:
        assert manifest["metadata"]["annotations"] == {
            "argocd.argoproj.io/sync-options": "Prune=false,Delete=false",
            "kustomize.toolkit.fluxcd.io/prune": "disabled",
        }


def test_the_image_is_built_from_any_base_that_is_named() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()

    assert [line for line in lines if line.startswith("FROM ")] == [
        "FROM ${BASE_IMAGE} AS build",
        "FROM ${BASE_IMAGE}",
    ]
    assert "ARG BASE_IMAGE=python:3.11-slim-bookworm" in lines
    assert lines[-3:] == ["USER 0:0", 'ENTRYPOINT ["metrics-storage"]', 'CMD ["run"]']
