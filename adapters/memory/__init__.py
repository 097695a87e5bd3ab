"""The ports in memory, for tests and simulation: same rules, nothing durable."""
