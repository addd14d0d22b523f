"""Restoring an archive into a new directory, every danger in it refused."""
