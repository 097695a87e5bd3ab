"""Who is heard and who is silent, record by record and tick by tick."""

from collections.abc import Callable
from dataclasses import dataclass, field

STEP_MAX_US = 2_000_000


@dataclass(frozen=True, slots=True)
class Presence:
    """A device went offline or came back online."""

    key: bytes
    kind: str
    at_us: int
    heard_us: int


@dataclass(slots=True)
class _Heard:
    log_us: int
    attended_us: int
    after_us: int


@dataclass(slots=True)
class Attendance:
    """Of one partition. `presences` is the result."""

    presences: list[Presence] = field(default_factory=list)
    _attended_us: int = 0
    _tick_us: int | None = None
    _online: dict[bytes, _Heard] = field(default_factory=dict)
    _offline: dict[bytes, int] = field(default_factory=dict)

    def hear(self, key: bytes, log_us: int, after_us: int) -> None:
        """An accepted record of a device."""
        if key in self._offline:
            self.presences.append(Presence(key, "online", log_us, self._offline.pop(key)))
        self._online[key] = _Heard(log_us, self._at(log_us), after_us)

    def tick(self, log_us: int, is_paused: Callable[[bytes], bool]) -> list[bytes]:
        """Time passes; answers the devices that are offline from here on."""
        self._attended_us = self._at(log_us)
        self._tick_us = log_us
        gone = [
            key
            for key, heard in self._online.items()
            if heard.after_us
            and self._attended_us - heard.attended_us >= heard.after_us
            and not is_paused(key)
        ]
        for key in gone:
            heard = self._online.pop(key)
            self._offline[key] = heard.log_us
            self.presences.append(Presence(key, "offline", log_us, heard.log_us))
        return gone

    def forget(self, key: bytes) -> None:
        """The device lost its profile: its silence counts from its next record on."""
        self._online.pop(key, None)

    def delete(self, key: bytes) -> None:
        """Nothing is known of the device any more."""
        self._online.pop(key, None)
        self._offline.pop(key, None)

    def resume(self, key: bytes, log_us: int) -> None:
        """The device is not paused any more: its silence counts from here on."""
        if key in self._online:
            self._online[key].attended_us = self._at(log_us)

    def _at(self, log_us: int) -> int:
        if self._tick_us is None:
            return self._attended_us + STEP_MAX_US
        return self._attended_us + min(log_us - self._tick_us, STEP_MAX_US)
