"""A Kafka that only TLS and credentials open, named by settings of the environment."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._scram import (
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from adapters.kafka.admin import KafkaAdmin
from adapters.kafka.controls import ControlReader, publish
from adapters.kafka.dead_letters import DeadLetters
from adapters.kafka.producer import TelemetryProducer
from adapters.kafka.recovery_time import recovery_time
from devstack.free_ports import free_ports
from devstack.kafka_server import KafkaServer
from fleetpulse.errors import ConfigError
from fleetpulse.ports import Advance
from fleetpulse.settings import KafkaSettings, load_settings
from tests.adapters.certificates import Authority
from tests.contracts.cases import PARTITIONS, PROFILE, KafkaCase, Member, effects

USER, PASSWORD = "fleet", "right-and-secret"
REFUSED_WITHIN_S = 5.0
JAAS = "org.apache.kafka.common.security"

Variables = dict[str, str]


@dataclass(frozen=True)
class Cluster:
    """One broker: SASL_SSL and SSL with client certificates, PLAINTEXT for its own use."""

    port: int
    root: Path
    certificate: Path
    key: Path

    def password(self, mechanism: str, **changed: str) -> Variables:
        return {
            "BOOTSTRAP": f"127.0.0.1:{self.port + 2}",
            "SECURITY_PROTOCOL": "SASL_SSL",
            "SASL_MECHANISM": mechanism,
            "SASL_USERNAME": USER,
            "SASL_PASSWORD": PASSWORD,
            "SSL_CA_LOCATION": str(self.root),
        } | changed

    def client_certificate(self, **changed: str) -> Variables:
        return {
            "BOOTSTRAP": f"127.0.0.1:{self.port + 3}",
            "SECURITY_PROTOCOL": "SSL",
            "SSL_CA_LOCATION": str(self.root),
            "SSL_CERTIFICATE_LOCATION": str(self.certificate),
            "SSL_KEY_LOCATION": str(self.key),
        } | changed


@pytest.fixture(scope="module")
def stranger(server_folder: Path) -> Path:
    """The root of an authority that has nothing to do with the broker."""
    return Authority(server_folder / "stranger").root


@pytest.fixture(scope="module")
def cluster(server_folder: Path) -> Iterator[Cluster]:
    authority = Authority(server_folder / "kafka-authority")
    client = authority.client("shard")
    port = free_ports(4)
    server = KafkaServer(
        KafkaSettings(port=port),
        server_folder / "secured-kafka",
        properties=secured(authority, port),
    )
    try:
        server.start()
        own = AdminClient({"bootstrap.servers": f"127.0.0.1:{port}"})
        scram = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        user = UserScramCredentialUpsertion(USER, scram, PASSWORD.encode())
        own.alter_user_scram_credentials([user])[USER].result(10)
        yield Cluster(port, authority.root, client.certificate, client.key)
    finally:
        server.stop()


def secured(authority: Authority, port: int) -> dict[str, str]:
    identity = authority.server()
    keystore = identity.key.with_name("keystore.pem")
    keystore.write_text(identity.key.read_text() + identity.certificate.read_text())
    listeners = {"PLAINTEXT": port, "SASL_SSL": port + 2, "SSL": port + 3}
    advertised = ",".join(f"{name}://127.0.0.1:{at}" for name, at in listeners.items())
    sasl = "listener.name.sasl_ssl"
    return {
        "listeners": f"{advertised},CONTROLLER://127.0.0.1:{port + 1}",
        "advertised.listeners": advertised,
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,"
        + ",".join(f"{name}:{name}" for name in listeners),
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(keystore),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(authority.root),
        "listener.name.ssl.ssl.client.auth": "required",
        f"{sasl}.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
        f"{sasl}.plain.sasl.jaas.config": f"{JAAS}.plain.PlainLoginModule required"
        f' user_{USER}="{PASSWORD}";',
        f"{sasl}.scram-sha-512.sasl.jaas.config": f"{JAAS}.scram.ScramLoginModule required;",
        "connection.failed.authentication.delay.ms": "50",
    }


def environment(variables: Variables, prefix: str) -> Variables:
    named = variables | {"TOPIC_PREFIX": prefix, "PARTITIONS": str(PARTITIONS)}
    return {f"FLEETPULSE_KAFKA__{name}": value for name, value in named.items()}


def read(variables: Variables, prefix: str = "") -> KafkaSettings:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment(variables, prefix).items():
            patch.setenv(name, value)
        return load_settings().kafka


@pytest.fixture(scope="module", params=["PLAIN", "certificate"])
def settings(cluster: Cluster, request: pytest.FixtureRequest) -> KafkaSettings:
    name: str = request.param
    variables = cluster.client_certificate() if name == "certificate" else cluster.password(name)
    settings = read(variables, prefix=f"{name}.")
    created = KafkaAdmin(settings).create_topics()
    assert settings.topic("telemetry") in created
    return settings


def test_what_a_request_brought_reaches_a_shard(settings: KafkaSettings) -> None:
    producer = TelemetryProducer(
        settings, node_id="node-1", inflight_records_max=100, ack_timeout_s=10
    )
    asyncio.run(producer.send_many([(b"default/pump-1", b"sample", [])]))
    producer.close(10)
    member = Member(settings)
    member.poll_until(lambda: len(member.partitions) == PARTITIONS)
    member.reader.start(dict.fromkeys(range(PARTITIONS), 0))
    found: list[bytes] = []
    deadline = time.monotonic() + 10
    while b"sample" not in found and time.monotonic() < deadline:
        found += member.reader.poll(100, 0.05).values
    member.leave()
    assert b"sample" in found, "an acknowledged record did not come back"


def test_results_and_offsets_are_committed_together(settings: KafkaSettings) -> None:
    case = KafkaCase(settings)
    sink = case.owner()
    claim = sink.claim([0])[0]
    sink.write(effects(1), {0: Advance(claim.owner_epoch, 0, 1)})
    assert case.seen() == [1]
    assert case.owner().claim([0])[0].next_offset == 1, "the successor starts elsewhere"
    case.close()


def test_profiles_are_published_and_followed(settings: KafkaSettings) -> None:
    published = publish(settings, [PROFILE], [])
    reader = ControlReader(settings, client_id="follower")
    assert len(reader.read()) == len(published) == 1
    reader.close()


def test_the_operators_questions_are_answered(settings: KafkaSettings) -> None:
    assert recovery_time(settings).session_timeout_s == 3
    assert list(DeadLetters(settings).pending()) == []


def test_a_salted_password_opens_too(cluster: Cluster) -> None:
    assert recovery_time(read(cluster.password("SCRAM-SHA-512"))).session_timeout_s == 3


REFUSALS: dict[str, tuple[str, Callable[[Cluster, Path], Variables]]] = {
    "wrong password, PLAIN": (
        "SASL_PASSWORD: .*Invalid username or password",
        lambda cluster, _: cluster.password("PLAIN", SASL_PASSWORD="wrong-secret"),
    ),
    "wrong password, SCRAM": (
        "SASL_PASSWORD: .*invalid credentials",
        lambda cluster, _: cluster.password("SCRAM-SHA-512", SASL_PASSWORD="wrong-secret"),
    ),
    "unknown mechanism": (
        "SASL_MECHANISM: .*PLAIN,SCRAM-SHA-512",
        lambda cluster, _: cluster.password("SCRAM-SHA-256"),
    ),
    "untrusted broker": (
        "SSL_CA_LOCATION: .*certificate verify failed",
        lambda cluster, stranger: cluster.password("PLAIN", SSL_CA_LOCATION=str(stranger)),
    ),
    "another host's certificate": (
        "SSL_CA_LOCATION: .*certificate verify failed",
        lambda cluster, _: cluster.password("PLAIN", BOOTSTRAP=f"localhost:{cluster.port + 2}"),
    ),
    "no client certificate": (
        "SSL_CERTIFICATE_LOCATION: .*alert",
        lambda cluster, _: {
            name: value
            for name, value in cluster.client_certificate().items()
            if name not in {"SSL_CERTIFICATE_LOCATION", "SSL_KEY_LOCATION"}
        },
    ),
    "another key's certificate": (
        "SSL_KEY_LOCATION: .*mismatch",
        lambda cluster, _: cluster.client_certificate(
            SSL_KEY_LOCATION=str(cluster.key.with_name("server-127.0.0.1.key"))
        ),
    ),
    "TLS to a listener without it": (
        "SECURITY_PROTOCOL: .*PLAINTEXT",
        lambda cluster, _: cluster.password("PLAIN", BOOTSTRAP=f"127.0.0.1:{cluster.port}"),
    ),
    "missing file": (
        "SSL_CA_LOCATION: /nowhere.pem cannot be read",
        lambda cluster, _: cluster.password("PLAIN", SSL_CA_LOCATION="/nowhere.pem"),
    ),
    "no user": (
        "SASL_USERNAME: SASL_SSL needs it",
        lambda cluster, _: {
            name: value
            for name, value in cluster.password("PLAIN").items()
            if name != "SASL_USERNAME"
        },
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_refusal_is_one_line_that_names_the_setting(
    cluster: Cluster, stranger: Path, case: str
) -> None:
    expected, variables = REFUSALS[case]
    settings = read(variables(cluster, stranger))
    started_s = time.monotonic()
    with pytest.raises(ConfigError, match=f"FLEETPULSE_KAFKA__{expected}") as refused:
        KafkaAdmin(settings).create_topics()
    assert time.monotonic() - started_s < REFUSED_WITHIN_S
    assert "\n" not in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("ask", [recovery_time, lambda each: list(DeadLetters(each).pending())])
def test_every_first_contact_tells_the_refusal(
    cluster: Cluster, ask: Callable[[KafkaSettings], object]
) -> None:
    with pytest.raises(ConfigError, match="FLEETPULSE_KAFKA__SASL_PASSWORD"):
        ask(read(cluster.password("PLAIN", SASL_PASSWORD="wrong")))


def test_a_command_says_it_in_one_line(cluster: Cluster) -> None:
    variables = cluster.password("PLAIN", SASL_PASSWORD="wrong")
    done = subprocess.run(
        [sys.executable, "-m", "cli.app", "dead", "ls"],
        env=os.environ | environment(variables, prefix=""),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("FLEETPULSE_KAFKA__SASL_USERNAME, FLEETPULSE_KAFKA__SASL_PASS")
    assert done.stderr.count("\n") == 1, done.stderr
