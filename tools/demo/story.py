"""The story of the demo, one method for each step: what happens, what a user sees of it, and whether it is true.

Every check asks the API server or the disk itself, never the text on the screen. How commands reach the disk is
the site's business; the last step, the archive, is told in `evidence`.
"""

from __future__ import annotations

import json
import re
from typing import Any

from metrics_storage.constants import FINALIZER, UID_LABEL
from tools.demo.errors import DemoError
from tools.demo.evidence import show_archive
from tools.demo.pictures import FIND, draw
from tools.demo.runners import CUSTOM, MINIMAL, SCRIPTS
from tools.demo.shell import NAMESPACE, Shell, Site, absent, get, until
from tools.installation.definition import wait_established

__all__ = ["STEPS", "Story"]

STEPS = 8
_DEFINITION = "crd/metricsstorages.metricsstorage.dev"
_SOON = "this takes a moment"
_MAKING = "the operator makes directories, claims and volumes"
_CONDITIONS = "-o \\\n  " + r"""jsonpath='{range .status.conditions[*]}{.type}={.status}: {.message}{"\n"}{end}'"""


class Story:
    """Tells the steps in order; step 1, the cluster itself, is over when it is made."""

    def __init__(self, shell: Shell, site: Site) -> None:
        self._shell = shell
        self._screen = shell.screen
        self._site = site
        self._cluster = site.cluster

    def tell(self) -> None:
        """All steps after the cluster.

        Raises:
            DemoError, ClusterError: something failed, or what was shown is not true.
        """
        self._install()
        self._start()
        self._create()
        self._write()
        self._delete()
        contents = self._quarantine()
        self._screen.step("Open the archive")
        show_archive(self._shell, self._site, self._storage(MINIMAL), contents)
        log = self._site.operator_log()
        self._screen.check(
            "the operator logged no error", re.findall(r"^.*\[(?:ERROR|CRITICAL).*$", log, re.MULTILINE), []
        )

    def _install(self) -> None:
        self._screen.step("Install")
        self._site.install()
        wait_established(self._cluster)
        self._shell.show(f"kubectl wait --for=condition=Established {_DEFINITION} --timeout=60s", _SOON)
        names = get(self._cluster, _DEFINITION)["spec"]["names"]
        self._screen.check("the definition is served, short name mstor", names["shortNames"], ["mstor"])
        provisioner = get(self._cluster, "storageclass", "metrics-storage")["provisioner"]
        self._screen.check(
            "the storage class metrics-storage has no provisioner but the operator",
            provisioner,
            "kubernetes.io/no-provisioner",
        )

    def _start(self) -> None:
        self._screen.step("Start the operator")
        self._site.start_operator()

    def _create(self) -> None:
        self._screen.step("Four runners get their directories")
        self._screen.say(
            "One MetricsStorage for each runner; only the name is required. Ready means that a Pod can mount."
        )
        self._site.apply_samples()
        self._shell.show(f"kubectl wait --for=condition=Ready mstor --all -n {NAMESPACE} --timeout=60s", _MAKING)
        self._shell.show(f"kubectl get mstor -n {NAMESPACE}", _SOON)
        self._screen.say("Each has a claim of its name, bound to a volume that points at its directory.")
        self._shell.show(f"kubectl get pvc -n {NAMESPACE} \\\n  -o {_CLAIM_COLUMNS}", _SOON)
        self._show_tree()
        storages = {item["metadata"]["name"]: item for item in get(self._cluster, "mstor", "-n", NAMESPACE)["items"]}
        self._screen.check("all samples are there", sorted(storages), sorted(SCRIPTS))
        for name, storage in storages.items():
            self._check_provided(name, storage)

    def _check_provided(self, name: str, storage: dict[str, Any]) -> None:
        claim = get(self._cluster, "pvc", name, "-n", NAMESPACE)
        volume = get(self._cluster, "pv", f"ms-{storage['metadata']['uid']}")
        wanted = storage["spec"]["directory"]
        directory = self._inside(storage["status"]["path"], "stat -c '%u:%g %04a' .").strip()
        found = (
            storage["status"]["phase"],
            claim["status"]["phase"],
            volume["spec"]["claimRef"]["uid"] == claim["metadata"]["uid"],
            directory,
        )
        expected = ("Ready", "Bound", True, f"{wanted['owner']} {wanted['mode']}")
        self._screen.check(
            f"{name}: Ready, claim Bound, directory of {wanted['owner']}, {wanted['mode']}", found, expected
        )

    def _write(self) -> None:
        self._screen.step("The runners write their metrics")
        self._screen.say("Each as its own user, in its own directory, as its Pod would.")
        for name, script in SCRIPTS.items():
            storage = self._storage(name)
            user, group = (int(part) for part in storage["spec"]["directory"]["owner"].split(":"))
            self._screen.command(script, who=f"{name}, as user {user}, in its directory")
            self._inside(storage["status"]["path"], script, (user, group))
        self._show_tree()
        for name in SCRIPTS:
            files = len(self._listing(name, "! -type d"))
            until(
                self._screen,
                f"the operator has measured {name}",
                lambda name=name, files=files: self._storage(name)["status"].get("usage", {}).get("files") == files,  # type: ignore[misc]
            )
            self._screen.check(f"{name}: {files} files written, {files} in status.usage", True)
        self._shell.show(f"kubectl get mstor -n {NAMESPACE}", _SOON)

    def _delete(self) -> None:
        self._screen.step(f"{CUSTOM} is done: collect, then delete")
        storage = self._storage(CUSTOM)
        uid = storage["metadata"]["uid"]
        self._screen.say("The collector reads the files, finds them well-formed, and deletes the resource.")
        self._collect(storage, "pre-job-metrics.json", "post-job-metrics.json")
        self._screen.check("both are JSON", True)
        self._shell.show(
            f"kubectl delete mstor {CUSTOM} -n {NAMESPACE} --timeout=60s", "the claim goes, then the directory"
        )
        self._shell.show(f"kubectl get mstor,pvc -n {NAMESPACE} -o name", _SOON)
        self._check_gone(storage)
        journal = f"{self._site.storage_root}/.metrics-storage/journal"
        until(self._screen, "its journal entry is gone", lambda: uid not in self._inside(journal, "ls"))
        self._screen.check(
            "its resource, its finalizer and its journal entry are gone", self._is_absent("mstor", CUSTOM)
        )
        self._screen.check(
            "the other claims are still there", len(get(self._cluster, "pvc", "-n", NAMESPACE)["items"]), 3
        )

    def _quarantine(self) -> list[str]:
        """Returns what was in the directory, below the runner's name."""
        self._screen.step(f"{MINIMAL} looks wrong: quarantine")
        storage = self._storage(MINIMAL)
        contents = self._listing(MINIMAL)
        self._screen.say(
            "The collector finds a file that is cut off, so the directory is evidence now. One annotation says so; its "
            "value is the reason."
        )
        try:
            self._collect(storage, "pre-job-metrics.json")
        except ValueError as exc:
            self._screen.check(f"it is not JSON: {exc}", True)
        else:
            self._screen.check("it is not JSON", False)
        resource = f"mstor/{MINIMAL} -n {NAMESPACE}"
        reason = "malformed metrics"
        self._shell.show(f'kubectl annotate {resource} \\\n  metricsstorage.dev/quarantine="{reason}"', _SOON)
        waits = "the claim goes, the directory is archived, verified and removed"
        try:
            self._shell.show(f"kubectl wait --for=condition=Quarantined {resource} --timeout=60s", waits)
        except DemoError:
            self._shell.show(f"kubectl get {resource} {_CONDITIONS}", _SOON)
            raise
        until(self._screen, "the source is removed", lambda: self._storage(MINIMAL)["status"]["phase"] == "Quarantined")
        self._screen.say("The resource stays as the record of it, until somebody deletes it.")
        self._shell.show(f"kubectl get mstor -n {NAMESPACE}", _SOON)
        self._shell.show(f"kubectl get {resource} {_CONDITIONS}", _SOON)
        self._show_tree()
        record = self._storage(MINIMAL)
        conditions = {item["type"]: item["status"] for item in record["status"]["conditions"]}
        expected = {"Ready": "False", "Quarantined": "True", "Stalled": "True"}
        self._screen.check("Quarantined and Stalled are true, Ready is false", conditions, expected)
        self._screen.check("the reason is kept", record["status"]["quarantine"]["reason"], reason)
        self._screen.check("the archive holds all there was (clean)", record["status"]["quarantine"]["clean"])
        self._screen.check("the resource keeps its finalizer", FINALIZER in record["metadata"]["finalizers"])
        self._check_gone(storage)
        return [f"{MINIMAL}/", *(f"{MINIMAL}/{path}" for path in contents)]

    def _collect(self, storage: dict[str, Any], *names: str) -> None:
        """Show files and parse them.

        Raises:
            ValueError: one is not JSON.
        """
        self._screen.command(
            f"cat {' '.join(names)}", who=f"the collector, in the directory of {storage['metadata']['name']}"
        )
        texts = [self._inside(storage["status"]["path"], f"cat {name}") for name in names]
        self._screen.output("".join(texts))
        for text in texts:
            json.loads(text)

    def _check_gone(self, storage: dict[str, Any]) -> None:
        name, uid = storage["metadata"]["name"], storage["metadata"]["uid"]
        self._screen.check("its claim is gone", self._is_absent("pvc", name))
        self._screen.check("its volume is gone", absent(self._cluster, "pv", "-l", f"{UID_LABEL}={uid}"))
        there = self._inside(self._site.storage_root, f"find . -name '*{uid}*' ! -path '*/journal/*'")
        self._screen.check("its directory is gone, from the trash too", there, "")

    def _show_tree(self) -> None:
        listing = self._inside(self._site.storage_root, FIND)
        self._screen.picture("the storage volume", draw("storage", listing))

    def _listing(self, name: str, condition: str = "") -> list[str]:
        """Paths in a runner's directory, directories with a slash at the end, as tar writes them."""
        script = rf"find . -mindepth 1 {condition} \( -type d -printf '%P/\n' -o -printf '%P\n' \)"
        return self._inside(self._storage(name)["status"]["path"], script).splitlines()

    def _inside(self, directory: str, script: str, user: tuple[int, int] | None = None) -> str:
        return self._shell.run(self._site.inside(directory, script, user), _SOON)

    def _storage(self, name: str) -> dict[str, Any]:
        return get(self._cluster, "mstor", name, "-n", NAMESPACE)

    def _is_absent(self, kind: str, name: str) -> bool:
        return absent(self._cluster, kind, name, "-n", NAMESPACE)


_CLAIM_COLUMNS = "custom-columns=NAME:.metadata.name,STATUS:.status.phase,VOLUME:.spec.volumeName"
