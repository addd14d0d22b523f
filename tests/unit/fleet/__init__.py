"""Agents and their controller, on connections of this machine."""
