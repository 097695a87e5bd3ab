"""Faults on a whole stack under load, and whether anything was lost or doubled."""
