"""What goes wrong with an image."""

from tools.cluster.errors import ClusterError


class ImageError(ClusterError):
    """The image cannot be built, or is not what it must be; the message says what to do."""
