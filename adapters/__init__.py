"""The ports of fleetpulse.ports for real and in memory. The only place that knows SQL and Kafka."""
