"""The log: reading telemetry as a group member, writing results in transactions, producing."""
