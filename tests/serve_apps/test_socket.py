"""`WS /ws` behind a real server: subscriptions, cursors, slow clients."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from fleetpulse.effects import Forgotten, Presence
from fleetpulse.live import LiveUpdate, LiveWish
from serve_apps.live import outbox
from serve_apps.live.outbox import Outbox, TooSlow
from tests.serve_apps.parts import (
    START_US,
    Replica,
    Served,
    live_alert,
    live_samples,
    live_scores,
    picture,
    publish,
    shard_status,
)


@dataclass
class Client:
    """A socket and the replica behind it."""

    socket: ClientConnection
    replica: Replica
    loop: asyncio.AbstractEventLoop

    def say(self, **message: Any) -> None:
        self.socket.send(json.dumps(message))

    def hear(self, kind: str) -> dict[str, Any]:
        """The next message of this type."""
        while True:
            message: dict[str, Any] = json.loads(self.socket.recv(5))
            if message["type"] == kind:
                return message

    def await_state(self, state: str) -> None:
        """Until the only device is shown so."""
        seen = (self.hear("fleet")["states"] for _ in range(10))
        assert any(states[state] for states in seen), f"the device is never {state}"

    def publish(self, **what: Any) -> LiveWish:
        return publish(self.replica.hub, self.loop, LiveUpdate(shard_status(), **what))

    def until_watched(self, key: bytes) -> None:
        while key not in self.publish().watched:
            pass


@pytest.fixture
def client(served: Served) -> Iterator[Client]:
    replica, loop = served
    with connect(replica.url.replace("http", "ws") + "/ws") as socket:
        yield Client(socket, replica, loop)


def synchronise(client: Client) -> None:
    """What was said before has been taken: the server answers in order."""
    client.say(subscribe="nothing")
    client.hear("refused")


def test_alerts_arrive_with_a_cursor(client: Client) -> None:
    client.say(subscribe="alerts")
    synchronise(client)
    client.publish(alerts=[live_alert("pump-1", START_US)])
    alert = client.hear("alert")
    assert (alert["device_id"], alert["kind"], alert["peak_score"]) == ("pump-1", "raised", 4.25)
    assert alert["at_ms"] == START_US / 1000
    assert alert["cursor"].endswith(":1")


def test_a_client_that_comes_back_gets_what_it_missed(client: Client) -> None:
    client.say(subscribe="alerts")
    synchronise(client)
    client.publish(alerts=[live_alert(f"pump-{n}", START_US + n) for n in range(3)])
    cursor = client.hear("alert")["cursor"]
    with connect(client.replica.url.replace("http", "ws") + "/ws") as again:
        second = Client(again, client.replica, client.loop)
        second.say(subscribe="alerts", after=cursor)
        assert [second.hear("alert")["device_id"] for _ in range(2)] == ["pump-1", "pump-2"]


def test_a_cursor_of_another_hub_sends_the_client_to_the_database(client: Client) -> None:
    client.say(subscribe="alerts", after="0123:4")
    client.hear("alerts_missed")


def test_a_watched_device_sends_samples_and_scores(client: Client) -> None:
    client.say(subscribe="device", id="pump-1")
    client.until_watched(b"default/pump-1")
    client.publish(
        samples=[live_samples("pump-1", START_US), live_samples("pump-2", START_US)],
        scores=live_scores({"pump-1": 2.5, "pump-2": 1.0}, START_US),
    )
    samples = client.hear("samples")
    assert samples["channels"] == ["vib_x", "temp"]
    assert len(samples["t_ms"]) == len(samples["values"][0]) == 20
    score = client.hear("score")
    assert (score["device_id"], score["score"], score["threshold"]) == ("pump-1", 2.5, 2.0)


def test_the_fleet_comes_once_a_second_ill_devices_first(client: Client) -> None:
    client.publish(
        picture=picture({"pump-1": 0.5, "pump-2": 3.0, "pump-3": 1.0}, START_US),
        alerts=[live_alert("pump-3", START_US)],
    )
    client.say(subscribe="fleet", search="PUMP", limit=2)
    while True:
        fleet = client.hear("fleet")
        if fleet["states"]["alert"]:
            break
    assert [row[:3] for row in fleet["rows"]] == [["pump-3", "alert", 1.0], ["pump-2", "high", 3.0]]
    assert (fleet["devices"], fleet["matching"], fleet["lag"]) == (3, 3, 14)
    assert fleet["states"] == {"alert": 1, "high": 1, "offline": 0, "ok": 1, "silent": 0}


def test_a_silent_device_that_was_deleted_and_sends_again_is_not_offline(client: Client) -> None:
    sent = {"picture": picture({"pump-1": 0.5}, START_US)}
    client.publish(**sent, events=[Presence(0, "default", "pump-1", "offline", START_US, START_US)])
    client.say(subscribe="fleet")
    client.await_state("offline")
    client.say(subscribe="events")
    synchronise(client)
    gone = Forgotten(0, 7, START_US, "default", "pump-1")
    client.publish(events=[gone], forgotten=[b"default/pump-1"])
    told = client.hear("device")
    assert (told["kind"], told["device_id"]) == ("deleted", "pump-1")
    client.publish(**sent)
    client.await_state("ok")


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ({"subscribe": "device", "id": ""}, "id"),
        ({"subscribe": "weather"}, "message"),
        ({"subscribe": "fleet", "limit": 10**6}, "message"),
        ({}, "subscribe"),
        ([], "message"),
    ],
)
def test_a_wish_that_cannot_be_met_is_refused(client: Client, message: Any, field: str) -> None:
    client.socket.send(json.dumps(message))
    assert client.hear("refused")["error"]["field"] == field


def test_a_socket_watches_a_bounded_number_of_devices(client: Client) -> None:
    for n in range(17):
        client.say(subscribe="device", id=f"pump-{n}")
    assert client.hear("refused")["error"]["field"] == "id"


def test_another_sites_page_may_not_listen(served: Served) -> None:
    url = served[0].url.replace("http", "ws") + "/ws"
    with (
        pytest.raises(InvalidStatus, match="403"),
        connect(url, origin=Origin("https://evil.example")),
    ):
        pass
    with connect(url, origin=Origin(served[0].url)):
        pass


def test_a_socket_whose_alerts_pile_up_is_closed_not_silenced(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "ALERTS_MAX", 10)
    client.say(subscribe="alerts")
    synchronise(client)
    client.publish(alerts=[live_alert("pump-1", START_US)] * 11)
    with pytest.raises(ConnectionClosed) as closed:
        client.hear("nothing: the server closes")
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1013


def test_a_slow_socket_loses_samples_never_alerts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "LIVE_MAX", 2)
    box = Outbox()
    for n in range(5):
        box.live(f"live {n}")
    box.alert("alert")
    box.fleet("old picture")
    box.fleet("new picture")

    async def drain() -> list[str]:
        return [await box.next() for _ in range(5)]

    assert asyncio.run(drain()) == [
        "alert",
        '{"type":"dropped","count":3}',
        "new picture",
        "live 3",
        "live 4",
    ]


def test_an_overflown_outbox_says_so_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "ALERTS_MAX", 1)
    box = Outbox()
    box.alert("one")
    box.alert("two")
    with pytest.raises(TooSlow):
        asyncio.run(box.next())
