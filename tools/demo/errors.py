"""The one error of the demo; its message is for the person in front of the screen."""

__all__ = ["DemoError"]


class DemoError(Exception):
    """The demo cannot go on, or what it showed is not true."""
