"""What a log means, computed record by record, to check the engine (docs/semantics.md).

It must stay independent: of fleetpulse it imports the generated protobuf messages, nothing else.
Clarity before speed; a minute of 1,000 devices at 200 Hz takes about as long to check as to run.
"""
