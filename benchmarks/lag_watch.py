"""How far the shards' committed offsets are behind the log, sampled."""

from dataclasses import dataclass, field
from threading import Event, Thread

from benchmarks.log_progress import LogProgress
from fleetpulse.errors import RetryLater
from fleetpulse.settings import KafkaSettings

_INTERVAL_S = 0.5


@dataclass(slots=True)
class LagWatch:
    """Samples the lag in a thread of its own. Part of it is the commit interval's."""

    kafka: KafkaSettings
    messages: list[int] = field(default_factory=list)
    _stop: Event = field(default_factory=Event)
    _thread: Thread | None = None

    def start(self) -> None:
        """Sample from here on."""
        self._thread = Thread(target=self._run, name="lag-watch", daemon=True)
        self._thread.start()

    def stop(self) -> list[int]:
        """End; all samples."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(15)
        return self.messages

    def _run(self) -> None:
        log = LogProgress(self.kafka)
        while not self._stop.wait(_INTERVAL_S):
            try:
                committed, ends = log.committed(), log.ends()
            except RetryLater:
                continue
            self.messages.append(
                sum(max(0, end - committed.get(partition, 0)) for partition, end in ends.items())
            )


def grows(messages: list[int], bound: int) -> bool:
    """Whether the last third's median is above the middle third's by more than `bound`."""
    third = len(messages) // 3
    if not third:
        return False
    middle, last = sorted(messages[third : 2 * third]), sorted(messages[2 * third :])
    return last[len(last) // 2] > middle[len(middle) // 2] + bound
