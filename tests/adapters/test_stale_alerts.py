"""Who reads topic `alerts` to wake people knows by a header which ones come too late for that."""

import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from actors.recompute import Controller
from adapters.kafka.admin import KafkaAdmin
from adapters.kafka.durable import DurableRecord
from adapters.kafka.encode import encode_alert
from adapters.postgres.blackboard import Message
from benchmarks.topics import read_to_end
from fleetpulse.effects import Effects
from fleetpulse.ports import Advance
from fleetpulse.settings import KafkaSettings, Settings
from tests.contracts.cases import PARTITIONS, KafkaCase, alert

STALE = [("stale", b"true")]


def test_a_backlogs_alerts_are_marked_beside_their_messages(kafka: KafkaSettings) -> None:
    prefix = f"{kafka.topic_prefix}stale."
    settings = kafka.model_copy(update={"partitions": PARTITIONS, "topic_prefix": prefix})
    KafkaAdmin(settings).create_topics()
    case = KafkaCase(settings)
    sink = case.owner()
    now_us = time.time_ns() // 1000
    alerts = [replace(alert(0), at_us=now_us - age_s * 1_000_000) for age_s in (0, 30, 3600)]
    epoch = sink.claim([0])[0].owner_epoch
    sink.write(Effects(alerts=alerts), {0: Advance(epoch, 0, 3)})
    found: list[tuple[bytes | None, Any]] = []
    read_to_end(settings, "alerts", lambda each: found.append((each.value(), each.headers())))
    case.close()
    assert [headers for _, headers in found] == [None, None, STALE]
    assert [value for value, _ in found] == [encode_alert(each) for each in alerts]


def test_corrected_alerts_call_nobody() -> None:
    waiting = [
        Message(at, topic, 0, b"default/pump-1", b"a correction")
        for at, topic in enumerate(("alerts", "scores", "events"))
    ]
    written: list[DurableRecord] = []
    controller = Controller.__new__(Controller)
    parts = {
        "_settings": Settings(),
        "blackboard": SimpleNamespace(outbox=lambda _: waiting, sent=lambda _: None),
        "_writer": SimpleNamespace(write=lambda records, timeout_s: written.extend(records)),
    }
    vars(controller).update(parts)
    assert controller.publish() == 3
    assert [each.headers for each in written] == [STALE, None, None]
