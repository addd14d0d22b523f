"""The shipped image, built from the Dockerfile with whatever builder this machine has: `python -m tests.image`."""

from tests.image.build import BuiltImage, ensure_image

__all__ = ["BuiltImage", "ensure_image"]
