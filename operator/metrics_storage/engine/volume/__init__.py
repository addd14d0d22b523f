"""The two volumes: marker, lock, what their file systems must be able to do, and the journal."""
