"""The way in: validate, produce, answer 202 only after the broker's acknowledgement."""
