"""The shipped image, built from the Dockerfile with whatever builder this machine has: `python -m tools.image`."""

from tools.image.build import BuiltImage, ensure_image

__all__ = ["BuiltImage", "ensure_image"]
