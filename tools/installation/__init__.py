"""The operator installed and used: on a cluster as a Deployment, beside it as a process, and runners that use it.

What tests, benchmarks and the demo share.
"""
