"""The definition of MetricsStorage on a current server of custom resources, which enforces all its rules."""
