"""The configuration files of a node, as pure functions from paths and addresses.

They hold for containerd 1.6 and newer of the 1.x releases, and for kubelets of Kubernetes 1.20.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["NodePaths", "cni", "containerd", "kubelet", "kubelet_flags"]

PAUSE_IMAGE = "pause:local"


@dataclass(frozen=True)
class NodePaths:
    """Where a node's files are: `disk` outlives its processes, everything else is made anew at every start."""

    state: Path

    @property
    def disk(self) -> Path:
        """What is on the node's disk, the containers' images among it."""
        return self.state / "disk"

    @property
    def var_lib(self) -> Path:
        """The node's /var/lib, and with it the host paths below it that Pods may mount."""
        return self.disk / "var-lib"

    @property
    def var_log(self) -> Path:
        """The node's /var/log: the kubelet writes the Pods' logs there and nowhere else."""
        return self.disk / "var-log"

    @property
    def config(self) -> Path:
        """What the node's programs read at their start."""
        return self.state / "config"

    @property
    def socket(self) -> Path:
        """containerd's socket, the one thing that is reached from outside."""
        return self.state / "containerd.sock"


def containerd(paths: NodePaths, plugins: Path) -> str:
    """containerd's configuration, in TOML; `plugins` is the directory of the network plugins."""
    return f"""\
version = 2
root = "{paths.disk}/containerd"
state = "/run/containerd"
[grpc]
address = "{paths.socket}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE_IMAGE}"
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{plugins}"
conf_dir = "{paths.config}/cni"
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"
default_runtime_name = "runc"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = false
"""


def cni(subnet: str) -> dict[str, Any]:
    """A point-to-point cable for each Pod; who leaves the node leaves with the node's address."""
    return {
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [
            {
                "type": "ptp",
                "ipMasq": True,
                "ipam": {
                    "type": "host-local",
                    "dataDir": "/run/cni",
                    "ranges": [[{"subnet": subnet}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }


def kubelet(paths: NodePaths, ca_file: Path, control_group: str) -> dict[str, Any]:
    """The kubelet's configuration: full disks of this machine evict nobody, and deletions are noticed at once."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(ca_file)},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": control_group,
        "enforceNodeAllocatable": [],
        "failSwapOn": False,
        "healthzBindAddress": "127.0.0.1",
        "readOnlyPort": 0,
        "resolvConf": "",
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "evictionHard": {"memory.available": "50Mi", "nodefs.available": "0%", "imagefs.available": "0%"},
        "nodeStatusUpdateFrequency": "1s",
        # The default of current kubelets; that of 1.20 starts fifty Pods in minutes.
        "kubeAPIQPS": 50,
        "kubeAPIBurst": 100,
        "volumePluginDir": f"{paths.config}/volume-plugins",
    }


def kubelet_flags(paths: NodePaths, name: str, address: str) -> dict[str, str]:
    """What is no part of its configuration file."""
    return {
        "config": f"{paths.config}/kubelet.json",
        "kubeconfig": f"{paths.config}/kubeconfig",
        "root-dir": "/var/lib/kubelet",
        "cert-dir": f"{paths.config}/certificates",
        "container-runtime": "remote",
        "container-runtime-endpoint": f"unix://{paths.socket}",
        "hostname-override": name,
        "node-ip": address,
    }
