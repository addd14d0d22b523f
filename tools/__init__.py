"""What developers and users of a checkout run: clusters on this machine, the demo, the image, benchmarks."""
