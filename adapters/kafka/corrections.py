"""Corrections as messages: the topics and keys of what they replace, with the new view epoch."""

from adapters.kafka.durable import DurableRecord
from adapters.kafka.encode import encode_alert, encode_rollups, encode_scores
from adapters.kafka.encode_events import encode_session
from fleetpulse.effects import AlertEvent, SessionEvent
from fleetpulse.recompute.correction import Correction
from fleetpulse.settings import KafkaSettings


def corrections(
    settings: KafkaSettings,
    partition: int,
    correction: Correction,
    view_epoch: int,
    alerts: list[AlertEvent],
    sessions: list[SessionEvent],
) -> list[DurableRecord]:
    """All of one promotion. Repeating them is harmless: key, time and epoch name each."""

    def to(topic: str, values: list[bytes]) -> list[DurableRecord]:
        name = settings.topic(topic)
        return [DurableRecord(name, correction.key, value, partition) for value in values]

    found: list[DurableRecord] = []
    for scores in correction.scores:
        found += to("scores", encode_scores(scores, view_epoch=view_epoch))
    for name, batches in (
        ("aggregates.second", correction.seconds),
        ("aggregates.minute", correction.minutes),
    ):
        for rows in batches:
            found += to(name, encode_rollups(rows, view_epoch=view_epoch))
    for event in alerts:
        found += to("alerts", [encode_alert(event, view_epoch=view_epoch)])
    for session in sessions:
        found += to("events", [encode_session(session, view_epoch=view_epoch)])
    return found
