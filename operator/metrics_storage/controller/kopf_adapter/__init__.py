"""All that knows kopf: handlers, its bookkeeping, and how the operator starts."""
