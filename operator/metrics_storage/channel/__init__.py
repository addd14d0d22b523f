"""What a node's agent and the controller say to each other: messages, and nothing that acts on them.

docs/protocol.md says which message may follow which, what repeats, and what each side checks.
"""
