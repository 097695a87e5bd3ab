"""What the live engine made of devices' records: their lives, and what it could not place."""

from dataclasses import dataclass, field

from fleetpulse.effects import Rejection
from fleetpulse.engine import Engine
from fleetpulse.identity import DeviceKey
from fleetpulse.profile import Profile
from fleetpulse.rerun import Turn


@dataclass(slots=True)
class Life:
    """A device under one profile, from the record at `begin` on."""

    profile: Profile
    begin: int
    ended: bool = False
    """A control gave the device another profile, or ended it."""
    late: list[Rejection] = field(default_factory=list)
    unused: set[int] = field(default_factory=set)
    """Offsets of its records that were refused, or came while it was paused."""
    breaks: list[int] = field(default_factory=list)
    """Seconds before which a silence ended its sessions, in order."""


class History:
    """Lives of some devices, followed turn by turn."""

    def __init__(self, keys: frozenset[bytes]) -> None:
        self.lives: dict[bytes, list[Life]] = {key: [] for key in sorted(keys)}

    def take(self, engine: Engine, turn: Turn) -> None:
        """Note what a turn of the engine says."""
        for seen in turn.effects.devices:
            self._begin(engine, DeviceKey(seen.tenant, seen.device_id).encode(), turn)
        for key, lives in self.lives.items():
            if lives and engine.directory.find(key) is None:
                lives[-1].ended = True
        self._note(turn)
        self._skip_paused(engine, turn)
        for gone in turn.effects.forgotten:
            key = DeviceKey(gone.tenant, gone.device_id).encode()
            if key in self.lives:
                self.lives[key] = []

    def _note(self, turn: Turn) -> None:
        for key, second in turn.broken_off:
            if found := self.lives.get(key):
                found[-1].breaks.append(second)
        for each in turn.effects.late:
            if found := self.lives.get(each.key):
                found[-1].late.append(each)
        for each in turn.effects.dead:
            if found := self.lives.get(each.key):
                found[-1].unused.add(each.offset)

    def _skip_paused(self, engine: Engine, turn: Turn) -> None:
        control = engine.partitions[int(turn.batch.partitions[0])].control
        paused = {key for key in self.lives if control.is_paused(key)}
        for key, offset in zip(turn.batch.keys, turn.batch.offsets.tolist(), strict=True):
            if key in paused and (lives := self.lives[key]):
                lives[-1].unused.add(offset)

    def _begin(self, engine: Engine, key: bytes, turn: Turn) -> None:
        place, lives = engine.directory.find(key), self.lives.get(key)
        if place is None or lives is None:
            return
        if lives:
            lives[-1].ended = True
        lives.append(Life(place[0].profile, int(turn.batch.offsets[0])))
