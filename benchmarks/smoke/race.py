"""Ours and a bare loop in turns, in CPU time, so that what else the machine does cancels out."""

import gc
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from fleetpulse.errors import ConfigError

LOSS_MAX: Final = 0.25
"""Of the committed ratio: beyond it the guard fails."""
ROUNDS: Final = 9
"""Turns of each pair."""
ATTEMPTS: Final = 2
"""A race that seems lost is run once more before it is called so."""
RATIOS: Final = Path(__file__).parents[1] / "smoke.json"

Work = Callable[[], object]
Prepare = Callable[[], Work]
"""Makes everything anew, which does not count, and answers what counts."""


@dataclass(frozen=True, slots=True)
class Pair:
    """The same work twice: as shipped, and as little as anybody could do."""

    name: str
    ours: Prepare
    bare: Prepare


@dataclass(frozen=True, slots=True)
class Result:
    """ratio: CPU time of ours over the bare loop's. committed: None for a pair that is new."""

    name: str
    ratio: float
    committed: float | None

    @property
    def loss(self) -> float:
        """How much worse than committed: 0.25 is a quarter more; below 0 is better."""
        return self.ratio / self.committed - 1 if self.committed else 0.0

    @property
    def lost(self) -> bool:
        """Beyond the bound, or nothing to compare with."""
        return self.committed is None or self.loss > LOSS_MAX


def ratio_of(pair: Pair, *, rounds: int = ROUNDS) -> float:
    """CPU time of ours over the bare loop's, measured in turns.

    The smaller of two estimates: what disturbs for a moment spoils the median of the turns less,
    what lasts spoils the least times less. A loss that is real is in both.
    """
    ours_s, bare_s = [], []
    for _ in range(rounds):
        ours_s.append(_cpu_s(pair.ours()))
        bare_s.append(_cpu_s(pair.bare()))
    turns = median(ours / bare for ours, bare in zip(ours_s, bare_s, strict=True))
    return min(turns, min(ours_s) / min(bare_s))


def race(
    pairs: Sequence[Pair],
    committed: Mapping[str, float],
    *,
    rounds: int = ROUNDS,
    show: Callable[[Result], None] = lambda _: None,
) -> list[Result]:
    """Every pair; one that is lost gets another attempt, of which the better counts."""
    results = []
    for pair in pairs:
        ratio = ratio_of(pair, rounds=rounds)
        result = Result(pair.name, ratio, committed.get(pair.name))
        for _ in range(ATTEMPTS - 1):
            if result.lost and result.committed is not None:
                again = min(result.ratio, ratio_of(pair, rounds=rounds))
                result = Result(pair.name, again, result.committed)
        show(result)
        results.append(result)
    return results


def load_ratios(file: Path = RATIOS) -> dict[str, float]:
    """As committed; raises ConfigError."""
    try:
        ratios: dict[str, float] = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file.name}: {error}; write it with --renew") from error
    return ratios


def save_ratios(results: Sequence[Result], file: Path = RATIOS) -> None:
    """What the next runs are compared with."""
    ratios = {each.name: round(each.ratio, 3) for each in results}
    file.write_text(json.dumps(ratios, indent=1) + "\n")


def _cpu_s(work: Work) -> float:
    """Of the whole process: the work may have threads."""
    gc.collect()
    begun_s = time.process_time()
    work()
    return time.process_time() - begun_s
