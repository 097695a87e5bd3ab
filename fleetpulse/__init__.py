"""fleetpulse."""
