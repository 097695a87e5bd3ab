"""Durable forms of a partition's state."""
