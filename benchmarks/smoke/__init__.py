"""A guard against lost speed: our stages against bare loops, as ratios of CPU time in one run."""
