"""Archives on the quarantine volume: made of a directory, kept, restored, pruned and scrubbed."""
