"""A log, a database and snapshots of each test's own, and shards on them."""

from collections.abc import Callable, Iterator

import pytest

from actors.supervisor import Shards
from adapters.kafka.admin import KafkaAdmin
from adapters.postgres.migrate import migrate
from fleetpulse.settings import KafkaSettings, PostgresSettings, Settings, ShardSettings

StartShards = Callable[..., Shards]


@pytest.fixture(scope="module")
def settings(
    kafka: KafkaSettings, postgres: PostgresSettings, tmp_path_factory: pytest.TempPathFactory
) -> Settings:
    KafkaAdmin(kafka).create_topics()
    assert postgres.dsn is not None
    migrate(postgres.dsn.get_secret_value())
    return Settings(
        data_folder=tmp_path_factory.mktemp("data"),
        kafka=kafka,
        postgres=postgres,
        shard=ShardSettings(spare=False),
    )


@pytest.fixture
def start_shards(settings: Settings, ray_cluster: None) -> Iterator[StartShards]:
    """So many shards, once they own every partition."""
    started: list[Shards] = []

    def start(count: int, *, spare: bool = False) -> Shards:
        group = settings.shard.model_copy(update={"spare": spare})
        shards = Shards(settings.model_copy(update={"shard": group}), count)
        started.append(shards)
        shards.start()
        shards.await_ready(60)
        shards.complete()
        return shards

    yield start
    for shards in started:
        shards.stop()
