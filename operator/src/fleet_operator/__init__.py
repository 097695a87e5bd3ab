"""fleet_operator."""
