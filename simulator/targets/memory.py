"""Keeps frames, for tests and for measuring the generator."""

from simulator.framing import Frames
from simulator.tally import Tally


class MemoryTarget:
    """Accepts everything at once."""

    def __init__(self, frame_samples: int, *, keep: bool = True) -> None:
        self.tally = Tally()
        self._keep = keep
        self.frames: list[Frames] = []
        self._frame_samples = frame_samples

    def send(self, frames: Frames) -> None:
        """Count them, and keep them if told so."""
        samples = len(frames) * self._frame_samples
        self.tally.add_sent(samples)
        self.tally.add_accepted(samples, 0.0)
        if self._keep:
            self.frames.append(frames)

    def close(self, timeout_s: float) -> None:
        """Nothing is under way."""
