"""Options and fixtures that all tests share."""

pytest_plugins = ["tools.cluster.plugin"]
