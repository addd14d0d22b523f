"""Judging archives and directories with nothing of the engine.

`reading` reads an archive and its manifest. What a directory holds is a `snapshot`, for ordinary trees that are read
into memory, or `facts`, for trees of any depth with every attribute; `against_snapshot` and `against_facts` compare.
"""
