"""Which faults strike, in which order: decided by a seed."""

import random
from dataclasses import dataclass
from typing import Final, Literal

from fleetpulse.errors import ConfigError

Victim = Literal[
    "shard",
    "ingest replica",
    "Ray node",
    "Serve controller",
    "PostgreSQL",
    "broker",
    "controller broker",
    "snapshots",
]
Act = Literal["kill -9", "SIGSTOP", "full disk", "refuses connections", "unreachable"]


@dataclass(frozen=True, slots=True)
class Fault:
    """lasts_s: how long its cause lasts; 0: it is over at once. settles_s: load that follows.

    recovery_max_s: what is promised, from the end of the cause on.
    """

    act: Act
    victim: Victim
    lasts_s: float = 0.0
    settles_s: float = 14.0
    recovery_max_s: float = 10.0

    @property
    def name(self) -> str:
        """For people."""
        lasts = f" {self.lasts_s:g} s" if self.lasts_s else ""
        return f"{self.victim}: {self.act}{lasts}"


_KILLED: Final[tuple[Victim, ...]] = (
    "shard",
    "ingest replica",
    "Serve controller",
    "PostgreSQL",
    "broker",
    "controller broker",
)
RAY_NODE: Final = Fault("kill -9", "Ray node", settles_s=60.0, recovery_max_s=30.0)
FAULTS: Final = (
    *(Fault("kill -9", victim) for victim in _KILLED),
    RAY_NODE,
    *(Fault("SIGSTOP", victim, 15.0) for victim in (*_KILLED, RAY_NODE.victim)),
    Fault("full disk", "snapshots", 20.0),
    Fault("refuses connections", "PostgreSQL", 60.0, 20.0),
    Fault("unreachable", "broker", 60.0),
)
SHORT: Final = tuple(
    Fault("kill -9", victim, settles_s=10.0) for victim in ("shard", "controller broker")
)
"""A minute for every change; the rest takes half an hour."""


@dataclass(frozen=True, slots=True)
class Episode:
    """A load of its own, during which some faults strike one after the other."""

    number: int
    faults: tuple[Fault, ...]
    seed: int

    @property
    def seconds(self) -> float:
        """Of load, from the first frame on."""
        return WARM_S + sum(fault.lasts_s + fault.settles_s for fault in self.faults)


WARM_S: Final = 8.0
"""Every device is known and its first windows are scored."""


def short(seed: int) -> list[Episode]:
    """One load with the few faults that matter most."""
    faults = list(SHORT)
    random.Random(seed).shuffle(faults)
    return [Episode(1, tuple(faults), seed)]


def rounds(seed: int, seconds: float, only: str = "") -> list[Episode]:
    """An episode per fault, in a new order each round, until so much load is planned.

    only: faults whose name contains one of these, separated by commas; raises ConfigError when
    there is none.
    """
    wanted = only.split(",")
    chosen = [fault for fault in FAULTS if any(part in fault.name for part in wanted)]
    if not chosen:
        raise ConfigError(f"no fault is called {only}: {', '.join(each.name for each in FAULTS)}")
    chance = random.Random(seed)
    planned: list[Episode] = []
    while not planned or sum(episode.seconds for episode in planned) < seconds:
        faults = list(chosen)
        chance.shuffle(faults)
        for fault in faults:
            if planned and sum(episode.seconds for episode in planned) >= seconds:
                break
            planned.append(Episode(len(planned) + 1, (fault,), chance.randrange(1 << 30)))
    return planned
