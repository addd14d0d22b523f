"""A node's agent: the engine on the node's own volume, and the connection on which the controller asks it.

It has no right at the API server, and imports no client of one.
"""
