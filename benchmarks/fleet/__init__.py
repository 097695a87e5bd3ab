"""One job on our engine and on its alternatives. Imports nothing: contenders run elsewhere."""
