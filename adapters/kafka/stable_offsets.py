"""The group's committed offsets, once no transaction of a former owner can change them.

Whoever was killed, or hangs, in the middle of a transaction leaves its offsets pending and its
rows before all readers until the broker ends it, `transaction.timeout.ms` after its begin. Its
successor need not wait so long: `init_transactions` under the same transactional id ends it at
once, and fences a zombie. Whose it is, the offsets tell that were committed before: every
transaction notes its own id beside them. Whether that slot is dead, the group tells.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any, Final

from confluent_kafka import KafkaException, Producer

from adapters.kafka.admin_connection import AdminConnection
from adapters.kafka.bounded_call import bounded
from adapters.kafka.committed_offsets import CommittedOffsets
from adapters.kafka.log_reader import GROUP, SLOT
from fleetpulse.errors import BrokerUnavailable, ConfigError
from fleetpulse.settings import KafkaSettings

PATIENCE_S: Final = 0.25
"""Of the first look. A commit under way is settled within some 10 ms."""
ASK_S: Final = 2.0
"""Of each question about who it may be, over a connection of its own."""
END_S: Final = 0.5
"""The first request ends the transaction; it is not waited for until the library notices."""
logger = logging.getLogger(__name__)


class StableOffsets:
    """Used from one thread. Every call is bounded."""

    def __init__(
        self,
        settings: KafkaSettings,
        *,
        transactional_id: str,
        producer_config: Mapping[str, Any],
    ) -> None:
        """producer_config: of every slot's transactional producer, but for the id."""
        self._settings = settings
        self._own = transactional_id
        self._producer_config = dict(producer_config)
        self._offsets = self._of_group(transactional_id)

    def read(self, partitions: Sequence[int], timeout_s: float) -> dict[int, int]:
        """By partition, without those that have none; raises BrokerUnavailable.

        What pends at a first look is ended if it is of a slot that has left the group.
        """
        deadline_s = time.monotonic() + timeout_s
        try:
            return self._offsets.read(partitions, PATIENCE_S)
        except BrokerUnavailable:
            abandoned = self._abandoned(partitions)
        successors = [self._succeed(each) for each in sorted(abandoned)]
        try:
            return self._offsets.read(partitions, deadline_s - time.monotonic())
        finally:
            successors.clear()  # until here, the library goes on with what it was asked

    def close(self) -> None:
        """Disconnect."""
        self._offsets.close()

    def _abandoned(self, partitions: Sequence[int]) -> set[str]:
        """Who wrote the last stable offsets and is no member now; nobody without an answer.

        A member's transaction pends because a broker is away, or not for long.
        """
        any_state = self._of_group(f"{self._own}-writers", isolation="read_uncommitted")
        with closing(any_state):
            try:
                notes = any_state.notes(partitions, ASK_S)
                slots = self._settings.topic(SLOT)
                others = {each for each in notes.values() if each.startswith(slots)} - {self._own}
                # At a first start there are none, and the group need not be asked.
                return others - self._members() if others else others
            except (BrokerUnavailable, ConfigError):
                return set()

    def _members(self) -> set[str]:
        """The transactional ids of the group's members; a slot's client id is its name."""
        group = self._settings.topic(GROUP)
        connection = AdminConnection(
            self._settings, client_id=f"{self._own}-members", timeout_s=ASK_S
        )
        asked = connection.client.describe_consumer_groups([group], request_timeout=ASK_S)
        described = connection.answer(asked[group], "list the members of a group")
        return {self._settings.topic(each.client_id) for each in described.members}

    def _succeed(self, transactional_id: str) -> Producer:
        """Its owner, should it wake up, learns at its next commit that it is fenced.

        The broker ends the transaction at the first request, and says for a while that it does.
        """
        logger.warning("ending what %s left open: its partitions are ours", transactional_id)
        producer = Producer({**self._producer_config, "transactional.id": transactional_id})
        try:
            bounded(producer.init_transactions, END_S)
        except KafkaException as error:
            if not error.args[0].retriable():
                # Then it ends at its timeout.
                logger.warning("cannot end what %s left open: %s", transactional_id, error)
        return producer

    def _of_group(self, client_id: str, **options: Any) -> CommittedOffsets:
        return CommittedOffsets(
            self._settings, client_id=f"{client_id}-offsets", group=GROUP, **options
        )
