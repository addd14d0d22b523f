"""The manager for clusters, beyond the contract, against a server in miniature."""
