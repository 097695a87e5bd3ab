"""The operator. It shares no code with the engine: its contract is the resource and the metrics."""
