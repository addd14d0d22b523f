"""The optional admission policy, evaluated by the API server's own plugin: what it refuses, and what it must let by."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.policies.evaluation import MANIFESTS, OPERATOR, OVERRIDE, Object, Plugin, rendered, running_plugin, storage

FINALIZER = "metricsstorage.dev/directory"
QUARANTINE = "metricsstorage.dev/quarantine"
KOPF = "kopf.metricsstorage.dev"
REASON = {QUARANTINE: "not JSON"}
DONE = {f"{KOPF}/delete": '{"success":true}'}
HANDLED = {f"{KOPF}/last-handled-configuration": "{}", f"{KOPF}/kopf-managed": "yes"}
WHY = {"metricsstorage.dev/override": "the volume burnt"}
WRITTEN = {"kubectl.kubernetes.io/last-applied-configuration": "{}"}


@pytest.fixture(scope="module")
def plugin() -> Iterator[Plugin]:
    """The API server's admission plugin with what is shipped."""
    with running_plugin() as found:
        yield found


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        pytest.param(storage(finalizers=[FINALIZER]), storage(), "it goes when", id="our finalizer, the only one"),
        pytest.param(
            storage(finalizers=[FINALIZER, "example.com/x"]),
            storage(finalizers=["example.com/x"]),
            "it goes when",
            id="our finalizer of several",
        ),
        pytest.param(storage(annotations=REASON), storage(), "one-way", id="the request taken away"),
        pytest.param(
            storage(annotations=REASON), storage(annotations={QUARANTINE: "fine"}), "one-way", id="the request changed"
        ),
        pytest.param(
            storage(annotations=REASON), storage(annotations={QUARANTINE: ""}), "one-way", id="the request emptied"
        ),
        pytest.param(storage(), storage(annotations=DONE), f"{KOPF}/delete", id="progress forged"),
        pytest.param(storage(annotations=DONE), storage(), f"{KOPF}/delete", id="progress taken away"),
        pytest.param(
            storage(annotations=HANDLED),
            storage(annotations={**HANDLED, f"{KOPF}/last-handled-configuration": "{"}),
            f"as they are: {KOPF}/last-handled-configuration",
            id="the diff base made unreadable",
        ),
    ],
)
@pytest.mark.parametrize("groups", [pytest.param([], id="tenant"), pytest.param(["system:masters"], id="master")])
def test_everybody_but_the_operator_is_refused(
    plugin: Plugin, old: Object, new: Object, words: str, groups: list[str]
) -> None:
    verdict = plugin.judge(old, new, groups=groups)
    assert not verdict.allowed
    assert words in verdict.message
    assert plugin.judge(old, new, user=OPERATOR).allowed


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(None, storage(), id="a creation"),
        pytest.param(None, storage(annotations={**WRITTEN, **REASON}), id="a creation that asks for quarantine"),
        pytest.param(
            None, storage(annotations={**HANDLED, **WHY}, finalizers=[FINALIZER]), id="a creation from a backup"
        ),
        pytest.param(storage(), storage(annotations=REASON), id="a request for quarantine"),
        pytest.param(
            storage(annotations={QUARANTINE: ""}), storage(), id="an empty request, which is none, taken back"
        ),
        pytest.param(
            storage(annotations={**HANDLED, **REASON}, finalizers=[FINALIZER]),
            storage(
                annotations={**HANDLED, **REASON, **WRITTEN},
                finalizers=[FINALIZER],
                spec={"deletionPolicy": "Quarantine"},
            ),
            id="kubectl apply over what the operator and a collector wrote",
        ),
        pytest.param(
            storage(finalizers=[FINALIZER]),
            storage(finalizers=[FINALIZER, "foregroundDeletion"]),
            id="a finalizer of the garbage collector",
        ),
        pytest.param(
            storage(finalizers=["foregroundDeletion", FINALIZER]),
            storage(finalizers=[FINALIZER]),
            id="the garbage collector's finalizer released",
        ),
        pytest.param(storage(finalizers=["example.com/x"]), storage(), id="the last finalizer, of somebody else"),
        pytest.param(
            storage(annotations={"example.com/kopf-managed": "yes"}), storage(), id="annotations of other operators"
        ),
        pytest.param(storage(annotations=REASON, finalizers=[FINALIZER]), None, id="a deletion"),
    ],
)
def test_everyday_work_of_people_and_controllers_is_let_by(
    plugin: Plugin, old: Object | None, new: Object | None
) -> None:
    verdict = plugin.judge(old, new)
    assert verdict.allowed, verdict.message


def test_what_is_no_metricsstorage_is_not_looked_at(plugin: Plugin) -> None:
    assert plugin.judge(storage(finalizers=[FINALIZER]), storage(), resource="others").allowed
    assert plugin.judge(storage(finalizers=[FINALIZER]), storage(), subresource="status").allowed


def test_an_override_takes_the_right_and_a_reason_in_the_same_request(plugin: Plugin) -> None:
    held = storage(finalizers=[FINALIZER])
    explained = storage(annotations=WHY)
    assert plugin.judge(held, explained, grants=[OVERRIDE]).allowed
    assert not plugin.judge(held, storage(), grants=[OVERRIDE]).allowed, "without a reason"
    assert not plugin.judge(held, explained).allowed, "without the right"
    assert not plugin.judge(held, explained, grants=["get /metricsstorage.dev/override"]).allowed, "with another right"
    before = storage(annotations=WHY, finalizers=[FINALIZER])
    assert not plugin.judge(before, explained, grants=[OVERRIDE]).allowed, "with the reason of an earlier request"


def test_an_override_does_not_wave_through_the_next_tenant(plugin: Plugin) -> None:
    before = storage(annotations={**WHY, **REASON}, finalizers=[FINALIZER])
    assert not plugin.judge(before, storage(annotations=WHY, finalizers=[FINALIZER])).allowed


def test_the_policy_refuses_and_keeps_refusing_when_an_expression_fails() -> None:
    policy, binding = rendered()["ValidatingAdmissionPolicy"]["spec"], rendered()["ValidatingAdmissionPolicyBinding"]
    assert policy["failurePolicy"] == "Fail"
    assert binding["spec"] == {
        "policyName": rendered()["ValidatingAdmissionPolicy"]["metadata"]["name"],
        "validationActions": ["Deny", "Audit"],
    }
    (rule,) = policy["matchConstraints"]["resourceRules"]
    assert (rule["resources"], rule["operations"]) == (["metricsstorages"], ["UPDATE"])


def test_the_policy_names_the_account_that_is_shipped() -> None:
    conditions = rendered()["ValidatingAdmissionPolicy"]["spec"]["matchConditions"]
    assert f"'{OPERATOR}'" in {entry["name"]: entry["expression"] for entry in conditions}["not-the-operator"]
    base = MANIFESTS / "base"
    account = yaml.safe_load((base / "service-account.yaml").read_text())["metadata"]["name"]
    namespace = yaml.safe_load((base / "kustomization.yaml").read_text())["namespace"]
    assert f"system:serviceaccount:{namespace}:{account}" == OPERATOR


def test_the_override_is_a_path_that_no_role_of_a_namespace_can_grant() -> None:
    assert rendered()["ClusterRole"]["rules"] == [
        {"nonResourceURLs": ["/metricsstorage.dev/override"], "verbs": ["use"]}
    ]
    assert "RoleBinding" not in rendered()
    assert "ClusterRoleBinding" not in rendered()


def test_nothing_else_is_applied_with_the_policy() -> None:
    assert set(rendered()) == {"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "ClusterRole"}
    folder = MANIFESTS / "policies"
    listed = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
    assert {folder / name for name in listed} | {folder / "kustomization.yaml"} == set(Path(folder).glob("*.yaml"))
