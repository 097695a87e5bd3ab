"""The kernel's work in numpy: what it must agree with, to the bit."""
