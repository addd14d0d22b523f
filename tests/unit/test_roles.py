"""Who may do what: the operator's roles, and those for users."""

from typing import Final

import pytest
import yaml

from tests.unit.rendering import MANIFESTS, RENDERED, Manifest, only, rendered

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


VOLUME_IDS_RULES: Final = [
    {
        "apiGroups": [""],
        "resources": ["configmaps"],
        "resourceNames": ["metrics-storage-volume-ids"],
        "verbs": ["get"],
    },
    {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create"]},
]


def rules_of_roles(folder: str) -> dict[tuple[str, str], object]:
    """Rules by namespace and name."""
    return {
        (role["metadata"]["namespace"], role["metadata"]["name"]): role["rules"]
        for role in rendered(folder)
        if role["kind"] == "Role"
    }


def test_the_operator_may_do_in_the_cluster_what_it_needs_and_nothing_else() -> None:
    assert only("base", "ClusterRole")["rules"] == CLUSTER_RULES
    assert rules_of_roles("base") == {("metrics-storage", "metrics-storage-volume-ids"): VOLUME_IDS_RULES}


def test_with_given_namespaces_only_volumes_remain_a_matter_of_the_cluster() -> None:
    assert only("overlays/namespaced", "ClusterRole")["rules"] == REMAINING_CLUSTER_RULES
    assert rules_of_roles("overlays/namespaced") == {
        ("runners", "metrics-storage-operator"): RUNNER_NAMESPACE_RULES,
        ("metrics-storage", "metrics-storage-operator"): OPERATOR_NAMESPACE_RULES,
        ("metrics-storage", "metrics-storage-volume-ids"): VOLUME_IDS_RULES,
    }


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
        assert binding["roleRef"]["name"] == binding["metadata"]["name"]
        assert binding["subjects"] == [
            {"kind": "ServiceAccount", "name": "metrics-storage-operator", "namespace": "metrics-storage"}
        ]
