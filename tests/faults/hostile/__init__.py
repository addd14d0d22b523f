"""Directories that attack whoever walks them, and volumes that go away."""
