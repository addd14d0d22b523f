"""The demo: a cluster, the operator and some runners on this machine, shown step by step and checked.

`python -m tools.demo up` is what `make demo` runs. Not a test suite: it shows one good path, and fails when
what it shows is not true.
"""
