"""What goes wrong with an image."""


class ImageError(Exception):
    """The image cannot be built, or is not what it must be; the message says what to do."""
