"""The time as the project writes it: RFC 3339 in UTC, in whole seconds, such as `2026-01-31T09:30:00Z`."""

from datetime import UTC, datetime


def utc_now() -> str:
    """The present time."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
