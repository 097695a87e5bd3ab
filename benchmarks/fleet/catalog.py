"""The contenders: how each is started, how much it is given, and what it promises."""

from dataclasses import dataclass, field
from typing import Final

OURS: Final = "fleetpulse"
BOUND: Final = "limit"


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to run the job. frames_share: of the frames that the fastest get."""

    name: str
    delivery: str
    """What a crash does to its outputs, in the configuration that is measured."""
    state: str
    """Where its devices' state is then."""
    arguments: tuple[str, ...] = ()
    """Of its Python."""
    environment: str = ""
    """Folder of its requirements; empty: it runs in ours."""
    frames_share: float = 1.0
    variables: dict[str, str] = field(default_factory=dict)


CONTENDERS: Final = {
    each.name: each
    for each in (
        Contender(
            BOUND,
            "none: offsets are committed by time",
            "lost",
            arguments=("-m", "benchmarks.fleet.contenders.limit"),
        ),
        Contender(
            OURS,
            "exactly once, in Kafka and in PostgreSQL",
            "snapshots, continued within seconds",
        ),
        Contender(
            "plain",
            "none: offsets are committed by time",
            "lost",
            arguments=("-m", "benchmarks.fleet.contenders.plain"),
            frames_share=0.3,
        ),
        Contender(
            "bytewax",
            "none: no recovery store",
            "lost",
            arguments=("-m", "bytewax.run", "benchmarks.fleet.contenders.bytewax_flow:flow"),
            environment="bytewax",
            frames_share=0.3,
        ),
    )
}
