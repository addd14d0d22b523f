"""Pure values: what a resource asks for, what it is called, what is said about it. No I/O."""
