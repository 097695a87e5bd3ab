"""Warm storage: devices, alerts and rollups, each with the progress that it was written with."""
