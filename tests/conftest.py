"""Real servers for the tests that name them: started on first use, ended with the session.

kafka, postgres: per module a fresh topic prefix and a fresh database on the session's servers.
ray_cluster: one local Ray for the session.
"""

import os
import shutil
import signal
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

# Before anything imports ray: a local ray.init would turn token mode on and write into HOME.
os.environ["RAY_AUTH_MODE"] = "disabled"
# Ray takes loopback as its own address and binds to nothing else.
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

import psutil
import psycopg
import pytest
from pydantic import SecretStr

from build_kernel import build
from devstack.free_ports import free_ports
from devstack.kafka_server import KafkaServer
from devstack.postgres_server import PostgresServer
from devstack.processes import end_marked, marked
from fleetpulse.settings import KafkaSettings, PostgresSettings

build()  # a worktree borrows its environment, not what is compiled beside the sources

SESSION_VARIABLE = "FLEETPULSE_TEST_SESSION"
LEAK_GRACE_S = 10.0


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    """Data of the session's servers; a short path."""
    folder = Path(tempfile.mkdtemp(prefix="fp-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def kafka_settings(server_folder: Path) -> Iterator[KafkaSettings]:
    """The session's broker."""
    settings = KafkaSettings(port=free_ports(2))
    server = KafkaServer(settings, server_folder / "kafka")
    try:
        server.start()
        yield settings
    finally:
        server.stop()


@pytest.fixture(scope="session")
def postgres_settings(server_folder: Path) -> Iterator[PostgresSettings]:
    """The session's database server; `dsn` names its default database."""
    settings = PostgresSettings(port=free_ports(1))
    server = PostgresServer(settings, server_folder / "postgres")
    try:
        server.start()
        yield settings.model_copy(update={"dsn": server.dsn})
    finally:
        server.stop()


@pytest.fixture(scope="module")
def kafka(kafka_settings: KafkaSettings) -> KafkaSettings:
    """The session's broker with topics of this module's own."""
    return kafka_settings.model_copy(update={"topic_prefix": f"t{uuid.uuid4().hex[:8]}."})


@pytest.fixture(scope="module")
def postgres(postgres_settings: PostgresSettings) -> PostgresSettings:
    """The session's database server with an empty database of this module's own."""
    assert postgres_settings.dsn is not None
    default = postgres_settings.dsn.get_secret_value()
    name = f"t{uuid.uuid4().hex[:8]}"
    with psycopg.connect(default, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    fresh = default.rpartition("/")[0] + f"/{name}"
    return postgres_settings.model_copy(update={"dsn": SecretStr(fresh)})


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """A local Ray of the session, without dashboard, on loopback."""
    import ray  # noqa: PLC0415  # only tests that use it wait for the import

    ray.init(
        address="local",
        num_cpus=4,
        include_dashboard=False,
        object_store_memory=80 * 1024**2,
        namespace="fleetpulse",
        log_to_driver=False,
    )
    try:
        yield
    finally:
        ray.shutdown()


def pytest_configure(config: pytest.Config) -> None:
    """Mark everything this session starts, also indirectly, by an inherited variable."""
    os.environ[SESSION_VARIABLE] = uuid.uuid4().hex
    # Whoever starts us in the background may ignore SIGINT, and our children would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A process that outlives the session fails it, and is ended."""
    mark = os.environ[SESSION_VARIABLE]
    _, leaked = psutil.wait_procs(marked(SESSION_VARIABLE, mark), timeout=LEAK_GRACE_S)
    for process in leaked:
        print(f"\nleaked process {process.pid}: {_command(process)}")
    if leaked:
        end_marked(SESSION_VARIABLE, mark)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())[:200]
    except psutil.Error:
        return "gone"
