"""Topics are an interface: programs of others read them by name."""

from adapters.kafka.admin import REJECTED_TOPICS, RESULT_TOPICS
from fleetpulse.settings import KafkaSettings


def test_topics_keep_their_names() -> None:
    assert set(RESULT_TOPICS) >= {"scores", "alerts", "aggregates.second", "aggregates.minute"}
    assert set(REJECTED_TOPICS) >= {"telemetry.dead", "telemetry.late"}


def test_two_fleets_share_a_cluster_by_prefix() -> None:
    assert KafkaSettings().topic("scores") == "scores"
    assert KafkaSettings(topic_prefix="plant-2.").topic("scores") == "plant-2.scores"
