"""Engines that are broken on purpose, and what must notice each of them."""
