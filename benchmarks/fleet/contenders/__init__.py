"""The job as each alternative's users would write it; each runs in an environment of its own.

These modules import numpy, benchmarks.fleet.job and the alternative; nothing else of ours.
"""
