"""Many nodes: the agents that are connected, and an engine that is one of them."""
