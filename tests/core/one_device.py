"""A cohort with one device, spoken to in slots."""

import numpy as np

from fleetpulse.cohort import Cohort, Conclusion
from fleetpulse.pieces import Pieces
from fleetpulse.profile import AlertRule, Profile, WindowSpec

NAN = float("nan")


def profile_of(**changes: object) -> Profile:
    """10 Hz, one channel, windows of 4 slots, a model."""
    fields: dict[str, object] = {
        "name": "pump",
        "channels": ("x",),
        "rate_hz": 10,
        "block_samples_max": 10,
        "window": WindowSpec(size=4, hop=4, aligned=True),
        "model": "any@1",
        "alert": AlertRule(threshold=1),
    }
    return Profile(**fields | changes)  # type: ignore[arg-type]


class OneDevice:
    """Sends frames and looks at what became of them."""

    def __init__(self, key: bytes = b"default/pump", **changes: object) -> None:
        self.cohort = Cohort(profile_of(**changes))
        self.row = self.cohort.add(key, 0)

    def sends(self, first: int, *values: float | tuple[float, ...]) -> bool:
        """One record of consecutive slots; NaN is absent. True if some of it came too late."""
        samples = np.array(values, np.float32).reshape(len(values), -1)
        one = np.array([self.row])
        pieces = Pieces(
            one, np.array([first]), np.array([len(values)]), np.array([0]), np.array([0]),
            samples, not bool(np.isnan(samples).any()),
        )  # fmt: skip
        return bool(len(self.cohort.absorb(pieces)))

    def runs(self, first: int, count: int) -> None:
        """`count` orderly samples whose values are their slots."""
        step = self.cohort.profile.block_samples_max
        for at in range(first, first + count, step):
            self.sends(at, *map(float, range(at, min(at + step, first + count))))

    @property
    def head(self) -> int:
        return int(self.cohort.rings.head[self.row])

    @property
    def settled(self) -> int:
        return int(self.cohort.rings.settled[self.row])

    def holds(self, first: int, count: int) -> list[float]:
        """Values of the first channel."""
        rows, slots = np.array([self.row]), np.array([first])
        held = self.cohort.rings.gather(rows, slots, count)[0, :, 0]
        return [None if np.isnan(x) else x for x in held.tolist()]  # type: ignore[misc]

    def windows(self) -> dict[int, list[float]]:
        """End slot -> values of the first channel, of windows that wait for their score."""
        closed = self.cohort.closed_windows()
        samples = closed.samples[:, :, 0].tolist()
        return dict(zip(closed.ends.tolist(), samples, strict=True))

    def concludes(self, *scores: float) -> Conclusion:
        """Scores for the windows; the last one for all that follow."""
        closed = self.cohort.closed_windows()
        given = [*scores, *scores[-1:] * len(closed.rows)][: len(closed.rows)]
        return self.cohort.conclude(closed, np.array(given or [0] * len(closed.rows), np.float32))
