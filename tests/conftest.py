"""Options and fixtures that all tests share."""

pytest_plugins = ["tests.cluster.plugin"]
