"""Cost per sample along each axis of a fleet: shards, devices, frames, channels, model."""
