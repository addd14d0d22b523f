"""Metrics Storage Operator: a directory for every CI runner, and evidence that cannot get lost."""

__version__ = "0.1.0"
