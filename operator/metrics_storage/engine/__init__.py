"""The library that touches the file system; it knows nothing of Kubernetes."""
