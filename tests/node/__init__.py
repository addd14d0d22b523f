"""The shipped image and the shipped manifests on nodes that run Pods; nothing is patched in by a test."""
