"""The command `metrics-storage`."""
