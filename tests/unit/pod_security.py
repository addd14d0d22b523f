"""The Pod Security Standards as functions: what of a Pod's specification a profile forbids.

The profiles and their controls are those of the Kubernetes documentation ("Pod Security Standards"); the library
that enforces them in API servers is in no package that the tests could build from.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

Spec = Mapping[str, Any]

_BASELINE_CAPABILITIES: Final = {
    *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE"),
    *("SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
}
_RESTRICTED_VOLUMES: Final = {
    *("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"),
}
_SAFE_SYSCTLS: Final = {
    *("kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start"),
    *("net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range"),
}
_SELINUX_TYPES: Final = {"", "container_t", "container_init_t", "container_kvm_t"}


def profile_of(spec: Spec) -> str:
    """The strictest profile that admits a Pod: restricted, baseline or privileged."""
    if not list(forbidden_by_restricted(spec)):
        return "restricted"
    return "privileged" if list(forbidden_by_baseline(spec)) else "baseline"


def forbidden_by_baseline(spec: Spec) -> Iterator[str]:
    """The fields that baseline does not allow."""
    yield from (field for field in ("hostNetwork", "hostPID", "hostIPC") if spec.get(field))
    yield from (f"volume {volume['name']}: hostPath" for volume in spec.get("volumes", ()) if "hostPath" in volume)
    sysctls = {entry["name"] for entry in spec.get("securityContext", {}).get("sysctls", ())}
    yield from sorted(sysctls - _SAFE_SYSCTLS)
    yield from _in_contexts(spec, _baseline_context)
    for container in _containers(spec):
        yield from (f"{container['name']}: hostPort" for port in container.get("ports", ()) if port.get("hostPort"))


def forbidden_by_restricted(spec: Spec) -> Iterator[str]:
    """The fields that restricted does not allow or misses."""
    yield from forbidden_by_baseline(spec)
    for volume in spec.get("volumes", ()):
        if not volume.keys() - {"name"} <= _RESTRICTED_VOLUMES:
            yield f"volume {volume['name']}"
    yield from _in_contexts(spec, lambda context: ["runAsUser 0"] if context.get("runAsUser") == 0 else [])
    of_pod = spec.get("securityContext", {})
    for container in _containers(spec):
        context = {**of_pod, **container.get("securityContext", {})}
        capabilities = context.get("capabilities", {})
        faults = {
            "allowPrivilegeEscalation": context.get("allowPrivilegeEscalation") is not False,
            "runAsNonRoot": context.get("runAsNonRoot") is not True,
            "seccompProfile": context.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"),
            "capabilities.drop": "ALL" not in capabilities.get("drop", ()),
            "capabilities.add": not set(capabilities.get("add", ())) <= {"NET_BIND_SERVICE"},
        }
        yield from (f"{container['name']}: {field}" for field, wrong in faults.items() if wrong)


def _baseline_context(context: Spec) -> list[str]:
    selinux = context.get("seLinuxOptions", {})
    faults = {
        "privileged": context.get("privileged"),
        "capabilities.add": not set(context.get("capabilities", {}).get("add", ())) <= _BASELINE_CAPABILITIES,
        "seLinuxOptions": selinux.get("type", "") not in _SELINUX_TYPES or "user" in selinux or "role" in selinux,
        "procMount": context.get("procMount", "Default") != "Default",
        "seccompProfile": context.get("seccompProfile", {}).get("type") == "Unconfined",
        "appArmorProfile": context.get("appArmorProfile", {}).get("type") == "Unconfined",
        "windowsOptions": context.get("windowsOptions", {}).get("hostProcess"),
    }
    return [field for field, wrong in faults.items() if wrong]


def _in_contexts(spec: Spec, faults: Callable[[Spec], list[str]]) -> Iterator[str]:
    yield from faults(spec.get("securityContext", {}))
    for container in _containers(spec):
        yield from (f"{container['name']}: {fault}" for fault in faults(container.get("securityContext", {})))


def _containers(spec: Spec) -> list[Spec]:
    return [
        container
        for kind in ("initContainers", "containers", "ephemeralContainers")
        for container in spec.get(kind, ())
    ]
