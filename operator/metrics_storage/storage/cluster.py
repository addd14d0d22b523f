"""Storages as MetricsStorage resources of one namespace: asked for here, provided by the operator.

For runner controllers. Their rights in the namespace: get, list, create, patch and delete of
`metricsstorages.metricsstorage.dev`. A resource that is being deleted or quarantined counts as one that does not
exist, except for the methods that finish just that.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Self

from metrics_storage import constants
from metrics_storage.errors import (
    CreateMetricsStorageError,
    DeleteMetricsStorageError,
    GetMetricsStorageError,
    KubernetesError,
    MetricsStorageError,
    QuarantineMetricsStorageError,
)
from metrics_storage.kube.client import Client
from metrics_storage.kube.resources import STORAGES
from metrics_storage.model.identity import Identity
from metrics_storage.storage.protocol import REASON, MetricsStorage, check_name, raising
from metrics_storage.storage.resource_view import ResourceView

_TIMEOUT: Final = 120.0
_FIRST_LOOK: Final = 0.05
_SLOWEST_LOOK: Final = 1.0
_PASSING: Final = (None, 429, 500, 502, 503, 504)
"""HTTP statuses, and None for no answer, that waiting outlasts."""


class KubernetesStorageManager:
    """The MetricsStorages of a namespace. Threads may share a manager; `close` it, or use it in a `with` statement."""

    def __init__(
        self,
        namespace: str,
        kubeconfig: Path | str | None = None,
        context: str | None = None,
        *,
        timeout: float = _TIMEOUT,
        mount_path: Path | str | None = None,
        spec: Mapping[str, Any] | None = None,
    ) -> None:
        """Find the cluster; no request is sent before the first call.

        Args:
            namespace: of the runners.
            kubeconfig: None for the Pod's service account or, where there is no Pod, KUBECONFIG or ~/.kube/config.
            context: in the kubeconfig, None for its current one.
            timeout: seconds that one call waits for the operator.
            mount_path: where this process has the storage volume mounted; None if it has not, and paths are then
                those on the node, as in `status.path`.
            spec: that of the resources which `create` makes; None for the defaults of the definition.

        Raises:
            KubernetesError: no cluster is configured.
        """
        self._namespace = namespace
        self._timeout = timeout
        self._mount_path = Path(mount_path) if mount_path is not None else None
        self._spec = dict(spec or {})
        self._client = Client.connect(Path(kubeconfig) if kubeconfig is not None else None, context)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def create(self, runner_name: str) -> MetricsStorage:
        """Create the resource and return when it is Ready, so that a Pod that mounts its claim starts at once.

        Where it stalls or is not Ready in time, the resource is deleted again: nobody has been told of it.

        Raises:
            CreateMetricsStorageError: it exists already, was refused, stalled, or is not Ready in time.
        """
        subject = f"storage of runner {runner_name!r} was not created"
        with raising(CreateMetricsStorageError, subject):
            check_name(self._namespace, runner_name)
            body = {
                "apiVersion": constants.API_VERSION,
                "kind": constants.KIND,
                "metadata": {"name": runner_name, "namespace": self._namespace},
                "spec": self._spec,
            }
            created = self._client.create(STORAGES, body, self._namespace)
            if created is None:
                raise CreateMetricsStorageError(f"storage of runner {runner_name!r} exists already")
            try:
                return self._storage(
                    self._wait(ResourceView(created), lambda now: now.ready, "Ready", self._deadline())
                )
            except MetricsStorageError as exc:
                withdrawn = self._withdraw(ResourceView(created))
                raise CreateMetricsStorageError(f"{subject}: {exc} ({withdrawn})") from exc

    def list_all(self) -> Iterator[MetricsStorage]:
        """Every storage in service; all pages are read before this returns, so that none expires meanwhile.

        Raises:
            GetMetricsStorageError: the API server refused or did not answer.
        """
        with raising(GetMetricsStorageError, f"storages of namespace {self._namespace!r} cannot be listed"):
            views = map(ResourceView, self._client.list(STORAGES, self._namespace))
            return iter([self._storage(view) for view in views if view.in_service])

    def get(self, runner_name: str) -> MetricsStorage:
        """The storage of a runner.

        Raises:
            GetMetricsStorageError: there is none in service, or the API server refused or did not answer.
        """
        with raising(GetMetricsStorageError, f"storage of runner {runner_name!r}"):
            view = self._view(runner_name)
            if view is None or not view.in_service:
                state = "does not exist" if view is None else f"is not in service: {view.summary}"
                raise GetMetricsStorageError(f"storage of runner {runner_name!r} {state}")
            return self._storage(view)

    def delete(self, runner_name: str) -> None:
        """Delete the resource and return when it is gone, which it is after its directory, in whatever state it was.

        A quarantine that was requested is finished first: the operator holds the resource until then.

        Raises:
            DeleteMetricsStorageError: there is none, its removal stalled, or it is not gone in time; the deletion
                stays requested.
        """
        with raising(DeleteMetricsStorageError, f"storage of runner {runner_name!r} was not deleted"):
            view = self._view(runner_name)
            if view is None:
                raise DeleteMetricsStorageError(f"storage of runner {runner_name!r} does not exist")
            self._remove(view, self._deadline())

    def move_to_quarantine(self, runner_name: str, reason: str = REASON) -> None:
        """Request quarantine, wait until the archive is committed and verified, then delete the resource.

        The request is final: after an error call this again to go on waiting. `reason` is written into the
        archive's manifest; the first one that was given counts.

        Raises:
            QuarantineMetricsStorageError: there is no such storage, archiving or removing it stalled, or it is not
                done in time.
        """
        with raising(QuarantineMetricsStorageError, f"storage of runner {runner_name!r} was not quarantined"):
            deadline = self._deadline()
            view = self._view(runner_name)
            if view is None or not self._request_quarantine(view, reason):
                raise QuarantineMetricsStorageError(f"storage of runner {runner_name!r} does not exist")
            view = self._wait(view, lambda now: now.archived, "archived", deadline)
            try:
                self._remove(view, deadline)
            except MetricsStorageError as exc:
                raise QuarantineMetricsStorageError(
                    f"storage of runner {runner_name!r} is archived as {view.archive}, but not gone: {exc}"
                ) from exc

    def _deadline(self) -> float:
        return time.monotonic() + self._timeout

    def _view(self, runner_name: str) -> ResourceView | None:
        check_name(self._namespace, runner_name)
        body = self._client.get(STORAGES, runner_name, self._namespace)
        return ResourceView(body) if body is not None else None

    def _storage(self, view: ResourceView) -> MetricsStorage:
        if self._mount_path is None:
            return MetricsStorage(Path(str(view.path)), view.name)
        identity = Identity(self._namespace, view.name, view.uid)
        return MetricsStorage(self._mount_path / identity.relative_path, view.name)

    def _request_quarantine(self, view: ResourceView, reason: str) -> bool:
        """Whether quarantine is requested, now or before; False where the resource is gone."""
        if view.quarantine_requested:
            return True
        annotations = {constants.QUARANTINE_ANNOTATION: reason.strip() or REASON}
        body = {"metadata": {"uid": view.uid, "annotations": annotations}}
        return self._client.patch(STORAGES, view.name, body, self._namespace) is not None

    def _remove(self, view: ResourceView, deadline: float) -> None:
        """Delete this very resource and wait until it is gone."""
        self._client.delete(STORAGES, view.name, view.uid, self._namespace)
        for now in self._follow(view, "gone", deadline):
            if now is None:
                return

    def _withdraw(self, view: ResourceView) -> str:
        """Ask for the deletion of what nobody was told of; says in words what came of it."""
        try:
            self._client.delete(STORAGES, view.name, view.uid, self._namespace)
        except KubernetesError as exc:
            return f"its resource is left behind: {exc}"
        return "its resource was deleted again"

    def _wait(
        self, view: ResourceView, reached: Callable[[ResourceView], bool], goal: str, deadline: float
    ) -> ResourceView:
        """The resource once it has reached a goal."""
        for now in self._follow(view, goal, deadline):
            if now is None:
                break
            if reached(now):
                return now
        raise MetricsStorageError(f"somebody deleted it before it was seen to be {goal}")

    def _follow(self, view: ResourceView, goal: str, deadline: float) -> Iterator[ResourceView | None]:
        """The resource, as it is seen again and again, and at last None when it is gone, whatever has its name then.

        Raises:
            MetricsStorageError: it stalls, or the deadline is reached. A condition that `view` has
                is from before the request that is waited for, and does not count.
            KubernetesError: an answer that waiting does not mend.
        """
        first, pause, silence = view, _FIRST_LOOK, ""
        while True:
            yield view
            if view.stall and view.stall != first.stall:
                raise MetricsStorageError(f"{view.stall['reason']}: {view.stall['message']}")
            if time.monotonic() + pause > deadline:
                raise MetricsStorageError(f"not {goal} after {self._timeout:g} s: {silence or view.summary}")
            time.sleep(pause)
            pause = min(pause * 1.5, _SLOWEST_LOOK)
            try:
                now = self._view(first.name)
            except KubernetesError as exc:
                if exc.status not in _PASSING:
                    raise
                silence = str(exc)
                continue
            if now is None or now.uid != first.uid:
                yield None
                return
            view, silence = now, ""
