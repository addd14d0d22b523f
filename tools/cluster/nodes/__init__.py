"""Nodes of the local cluster: containerd and kubelet in namespaces of their own, so that Pods really run.

A node is one process tree in its own mount, PID and network namespace. Whatever ends its first process ends
all of it: processes, mounts and network. What is on its disk, a directory, outlives that, as on a real node.
"""
