"""The Kubernetes side: objects as plain dicts, and the only place that talks to an API server."""
