"""EffectSink "kafka" without transactions: after a crash, results are there again.

It exists so that the price of exactly-once can be measured (`fleetpulse bench exactly-once`).
"""

from collections.abc import Callable, Mapping

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from adapters.kafka.client import ANSWER_TIMEOUT_MS, meaning_of
from adapters.kafka.effect_sink import KafkaEffectSink
from adapters.kafka.log_reader import Membership
from fleetpulse.effects import Effects
from fleetpulse.ports import Advance, Claim
from fleetpulse.settings import KafkaSettings


class AtLeastOnceSink(KafkaEffectSink):
    """Acknowledged rows first, then offsets, which `commit` takes to the group when it can."""

    def __init__(
        self,
        settings: KafkaSettings,
        *,
        slot: str,
        stale_after_s: float,
        membership: Callable[[], Membership],
        commit: Callable[[Mapping[int, int]], None],
    ) -> None:
        super().__init__(
            settings,
            slot=slot,
            transaction_timeout_ms=ANSWER_TIMEOUT_MS,
            stale_after_s=stale_after_s,
            membership=membership,
        )
        del self._config["transactional.id"], self._config["transaction.timeout.ms"]
        self._config["on_delivery"] = self._delivered
        self._commit_offsets = commit
        self._failed: list[KafkaError] = []

    def write(self, effects: Effects, advance: Mapping[int, Advance]) -> None:
        """All rows, or an exception, after which some may be there."""
        self._check(advance, self._membership())
        producer = self._ready()
        self._failed.clear()
        try:
            for row in self._rows(effects):
                self._produce(producer, *row)
            missing = producer.flush(self._timeout_s)
        except KafkaException as error:
            raise meaning_of(error, "write results") from error
        if missing:
            self._failed.append(KafkaError(KafkaError._MSG_TIMED_OUT))
        if self._failed:
            self._drop()
            raise meaning_of(self._failed[0], "write results")
        self._commit_offsets({each: step.next_offset for each, step in advance.items()})
        for each, step in advance.items():
            self._claims[each] = Claim(step.owner_epoch, step.next_offset)

    def _begin(self, producer: Producer) -> None:
        """There are no transactions."""

    def _delivered(self, error: KafkaError | None, _: Message) -> None:
        if error is not None:
            self._failed.append(error)
