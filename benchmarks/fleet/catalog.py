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
    ready_s: float = 4.0
    """From its start until it reads, when devices are paced."""
    embedded: bool = False
    """Its code runs in another program, which has to be told where its packages are."""
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
        Contender(
            "quix",
            "at least once, a commit each 5 s",
            "RocksDB, and changelog topics in Kafka",
            arguments=("-m", "benchmarks.fleet.contenders.quix_app"),
            environment="quix",
            frames_share=0.15,
        ),
        Contender(
            "flink-thread",
            "at least once, a checkpoint each 5 s",
            "heap, and checkpoints in a folder",
            arguments=("-m", "benchmarks.fleet.contenders.flink_job"),
            environment="flink",
            frames_share=0.15,
            ready_s=25.0,
            embedded=True,
            variables={"FLINK_MODE": "thread", "JVM_ARGS": "-Xmx1g"},
        ),
        Contender(
            "ray",
            "none: offsets are committed by time",
            "lost with its actor",
            arguments=("-m", "benchmarks.fleet.contenders.ray_calls"),
            frames_share=0.06,
            ready_s=15.0,
        ),
    )
}
