"""What the manifests promise to whoever reviews them, checked without a cluster."""

import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from metrics_storage.cli.main import build_parser
from metrics_storage.cli.options import read_settings
from metrics_storage.kube.volume_source import parse_volume_source

ROOT: Final = Path(__file__).parents[2]
MANIFESTS: Final = ROOT / "manifests"
RENDERED: Final = ["base", "overlays/hostpath", "overlays/kind", "overlays/namespaced"]

Manifest = dict[str, Any]

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

STORAGE_RULES: Final = [
    {
        "apiGroups": ["metricsstorage.dev"],
        "resources": ["metricsstorages"],
        "verbs": ["get", "list", "watch", "patch"],
    },
    {"apiGroups": ["metricsstorage.dev"], "resources": ["metricsstorages/status"], "verbs": ["patch"]},
]
EVENT_RULE: Final = {"apiGroups": [""], "resources": ["events"], "verbs": ["create"]}
CLUSTER_RULES: Final = [
    *STORAGE_RULES,
    {
        "apiGroups": [""],
        "resources": ["persistentvolumes", "persistentvolumeclaims"],
        "verbs": ["get", "list", "create", "patch", "delete"],
    },
    {
        "apiGroups": [""],
        "resources": ["persistentvolumes/status", "persistentvolumeclaims/status"],
        "verbs": ["patch"],
    },
    EVENT_RULE,
    {
        "apiGroups": ["apiextensions.k8s.io"],
        "resources": ["customresourcedefinitions"],
        "verbs": ["list", "watch"],
    },
]
REMAINING_CLUSTER_RULES: Final = [
    {
        "apiGroups": [""],
        "resources": ["persistentvolumes"],
        "verbs": ["get", "list", "create", "patch", "delete"],
    },
    {"apiGroups": [""], "resources": ["persistentvolumes/status"], "verbs": ["patch"]},
]
RUNNER_NAMESPACE_RULES: Final = [
    *STORAGE_RULES,
    {
        "apiGroups": [""],
        "resources": ["persistentvolumeclaims"],
        "verbs": ["get", "list", "create", "patch", "delete"],
    },
    {"apiGroups": [""], "resources": ["persistentvolumeclaims/status"], "verbs": ["patch"]},
    EVENT_RULE,
]
OPERATOR_NAMESPACE_RULES: Final = [
    {
        "apiGroups": [""],
        "resources": ["persistentvolumeclaims"],
        "resourceNames": ["metrics-storage"],
        "verbs": ["get"],
    },
]


@cache
def rendered(folder: str) -> list[Manifest]:
    """The objects that `kubectl apply -k` would create."""
    command = ["kubectl", "kustomize", str(MANIFESTS / folder)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: {result.stderr}")
    return list(yaml.safe_load_all(result.stdout))


def only(folder: str, kind: str, namespace: str | None = None) -> Manifest:
    """The one object of that kind, in that namespace where one is given."""
    (found,) = (
        manifest
        for manifest in rendered(folder)
        if manifest["kind"] == kind and namespace in (None, manifest["metadata"].get("namespace"))
    )
    return found


def pod_spec(folder: str) -> Manifest:
    """The specification of the operator's Pod."""
    spec: Manifest = only(folder, "Deployment")["spec"]["template"]["spec"]
    return spec


def container(folder: str) -> Manifest:
    """The one container of the operator's Pod."""
    (found,) = pod_spec(folder)["containers"]
    return dict(found)


def arguments(folder: str) -> dict[str, str]:
    """The flags of the container with their values."""
    command, *flags = container(folder)["args"]
    assert command == "run"
    return dict(flag.split("=", 1) for flag in flags)


def variables(folder: str) -> dict[str, str]:
    """The environment of the container, as far as it has fixed values."""
    return {entry["name"]: entry["value"] for entry in container(folder)["env"] if "value" in entry}


def definition() -> Manifest:
    """The definition of MetricsStorage."""
    return dict(yaml.safe_load((ROOT / "crds" / "metricsstorage.yaml").read_text()))


def described(schema: Manifest, path: str) -> Iterator[tuple[str, Manifest]]:
    """Every field and every item of a schema with its path."""
    yield path, schema
    for name, field in schema.get("properties", {}).items():
        yield from described(field, f"{path}.{name}")
    if "items" in schema:
        yield from described(schema["items"], f"{path}[]")


def fields() -> dict[str, Manifest]:
    """Every field of a MetricsStorage by its path."""
    (version,) = definition()["spec"]["versions"]
    return dict(described(version["schema"]["openAPIV3Schema"], "metricsstorage"))


def test_every_folder_of_manifests_that_can_be_applied_is_tested() -> None:
    folders = {path.parent.relative_to(MANIFESTS) for path in MANIFESTS.rglob("kustomization.yaml")}

    assert sorted(map(str, folders)) == sorted(
        [*RENDERED, "components/namespaced", "components/user-roles", "policies"]
    )


# The API server describes metadata itself, and refuses a definition that does.
@pytest.mark.parametrize("path", sorted(fields().keys() - {"metricsstorage.metadata"}))
def test_every_field_has_a_description_in_sentences(path: str) -> None:
    description = fields()[path].get("description", "")

    assert description.endswith(".")
    assert description[0].isupper()


def test_every_rule_has_a_message_that_says_how_to_go_on() -> None:
    rules = [rule for field in fields().values() for rule in field.get("x-kubernetes-validations", [])]

    assert len(rules) == 7
    assert all(re.search(r"set (it|them) back|put the field back|give|write", rule["message"]) for rule in rules)


def test_the_rules_compile_on_servers_older_than_the_quantity_library() -> None:
    rules = [rule["rule"] for field in fields().values() for rule in field.get("x-kubernetes-validations", [])]

    assert not [rule for rule in rules if "uantity(" in rule]


def test_the_columns_are_those_of_the_design_and_more_for_wide_output() -> None:
    (version,) = definition()["spec"]["versions"]
    columns = version["additionalPrinterColumns"]

    assert [column["name"] for column in columns if not column.get("priority")] == [
        "Ready",
        "Phase",
        "Capacity",
        "Used",
        "Node",
        "Quarantine",
        "Age",
    ]
    assert [column["name"] for column in columns if column.get("priority")] == [
        "Policy",
        "Stalled",
        "Archive",
    ]


def test_the_operator_may_do_in_the_cluster_what_it_needs_and_nothing_else() -> None:
    assert only("base", "ClusterRole")["rules"] == CLUSTER_RULES
    assert not [manifest for manifest in rendered("base") if manifest["kind"] == "Role"]


def test_with_given_namespaces_only_volumes_remain_a_matter_of_the_cluster() -> None:
    assert only("overlays/namespaced", "ClusterRole")["rules"] == REMAINING_CLUSTER_RULES
    assert only("overlays/namespaced", "Role", "runners")["rules"] == RUNNER_NAMESPACE_RULES
    assert only("overlays/namespaced", "Role", "metrics-storage")["rules"] == OPERATOR_NAMESPACE_RULES


def test_users_may_look_at_what_they_may_view_and_change_what_they_may_edit() -> None:
    path = MANIFESTS / "components" / "user-roles" / "cluster-roles.yaml"
    roles = {role["metadata"]["name"]: role for role in yaml.safe_load_all(path.read_text())}
    prefix = "rbac.authorization.k8s.io/aggregate-to-"
    given = {
        to: {verb for role in roles.values() if prefix + to in role["metadata"]["labels"] for verb in _verbs(role)}
        for to in ("view", "edit", "admin")
    }
    looking = {"get", "list", "watch"}
    assert given["view"] == looking
    assert given["edit"] == given["admin"] == looking | {"create", "patch", "update", "delete"}


def _verbs(role: Manifest) -> set[str]:
    (rule,) = role["rules"]
    assert (rule["apiGroups"], rule["resources"]) == (["metricsstorage.dev"], ["metricsstorages"])
    return set(rule["verbs"])


@pytest.mark.parametrize("folder", RENDERED)
def test_every_binding_is_to_the_operators_own_account(folder: str) -> None:
    bindings = [manifest for manifest in rendered(folder) if manifest["kind"].endswith("RoleBinding")]

    assert bindings
    for binding in bindings:
        assert binding["roleRef"]["name"] == "metrics-storage-operator"
        assert binding["subjects"] == [
            {"kind": "ServiceAccount", "name": "metrics-storage-operator", "namespace": "metrics-storage"}
        ]


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

    assert sorted(images) == ["busybox:1.36", "metrics-storage-operator"]


@pytest.mark.parametrize("folder", RENDERED)
def test_only_flags_that_the_operator_knows_are_used(folder: str) -> None:
    assert set(arguments(folder)) <= FLAGS
    assert {variable["name"] for variable in container(folder)["env"]} == {
        "METRICS_STORAGE_STORAGE_ROOT",
        "METRICS_STORAGE_QUARANTINE_ROOT",
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

    settings = read_settings(build_parser().parse_args(expanded))

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


def test_the_samples_can_be_applied_as_a_folder() -> None:
    samples = sorted((MANIFESTS / "samples").glob("*.yaml"))
    kinds = [yaml.safe_load(path.read_text())["kind"] for path in samples]

    assert kinds == ["Namespace", *["MetricsStorage"] * 4]


@pytest.mark.parametrize("path", sorted((MANIFESTS / "samples").glob("runner-*.yaml")), ids=lambda path: path.stem)
def test_a_sample_uses_only_fields_that_exist(path: Path) -> None:
    sample = yaml.safe_load(path.read_text())
    used = {f"metricsstorage.spec{field}" for field in _paths(sample.get("spec", {}))}

    assert sample["metadata"]["namespace"] == "runners"
    assert sample["metadata"]["name"] == path.stem
    assert used <= fields().keys()


def _paths(value: Any, path: str = "") -> Iterator[str]:
    yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _paths(inner, f"{path}.{key}")


def test_the_image_is_built_from_any_base_that_is_named() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()

    assert [line for line in lines if line.startswith("FROM ")] == [
        "FROM ${BASE_IMAGE} AS build",
        "FROM ${BASE_IMAGE}",
    ]
    assert "ARG BASE_IMAGE=python:3.11-slim-bookworm" in lines
    assert lines[-3:] == ["USER 0:0", 'ENTRYPOINT ["metrics-storage"]', 'CMD ["run"]']
