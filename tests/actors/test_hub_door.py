"""The live hub's door: who knows the token is answered, whoever breaks a bound is hung up on."""

import asyncio
import socket
from collections.abc import Coroutine, Iterator
from contextlib import closing
from dataclasses import replace
from threading import Thread
from typing import Any

import numpy as np
import pytest

from actors import hub_door
from actors.device_shard import Publisher
from actors.door import TOKEN_BYTES, DoorAddress
from actors.hub_client import HubCaller, HubClient
from actors.hub_door import HEAD, frame
from actors.live_hub import LiveHub
from fleetpulse.effects import AlertEvent
from fleetpulse.live import LiveAlert, LivePicture, LiveUpdate

TIMEOUT_S = 5.0


class Served:
    """A hub in a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = Thread(target=self.loop.run_forever)
        self.thread.start()
        self.hub = LiveHub("127.0.0.1")

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(TIMEOUT_S)

    @property
    def address(self) -> DoorAddress:
        address: DoorAddress = self.run(self.hub.door())
        return address

    def end(self) -> None:
        self.run(self.hub.close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(TIMEOUT_S)
        self.loop.close()


@pytest.fixture
def served() -> Iterator[Served]:
    served = Served()
    yield served
    served.end()


def alert() -> LiveAlert:
    event = AlertEvent(
        0, "id", "default", "p0", "raised", 5, 5, 1, 5, 3.0, 3.0, 2.0, "zscore@1", "pump@1"
    )
    return LiveAlert(event, stale=False)


async def poll(client: HubClient, number: int, wait_s: float, timeout_s: float = TIMEOUT_S) -> Any:
    return await client.call("poll", "r", number, frozenset(), wait_s, timeout_s=timeout_s)


def refused(address: DoorAddress, sent: bytes) -> bool:
    """Whether the door hangs up on who says that, without a word."""
    with socket.create_connection((address.host, address.port), TIMEOUT_S) as caller:
        caller.sendall(sent)
        try:
            return caller.recv(1) == b""
        except ConnectionResetError:
            return True


def test_a_waiting_poll_hears_of_what_a_shard_publishes(served: Served) -> None:
    async def run() -> Any:
        client = await HubClient.connect(served.address, TIMEOUT_S)
        waiting = asyncio.create_task(poll(client, 1, 4.0))
        assert (await poll(client, 1, 0.0)).alerts == [], "one call waits for another"
        with closing(Publisher(lambda: served.address)) as publish:
            wish = await asyncio.to_thread(publish, LiveUpdate(alerts=[alert()]))
        assert wish.watched == frozenset()
        page = await waiting
        client.close()
        return page

    assert [each.event for each in asyncio.run(run()).alerts] == [alert().event]


def test_a_large_picture_comes_whole(served: Served) -> None:
    count = 50_000
    keys = [f"default/machine-{n}".encode() for n in range(count)]
    values = np.arange(count, dtype=np.float32)
    times_us = np.zeros(count, np.int64)
    drawn = LivePicture(keys, values, values, times_us, values[:0])
    with closing(HubCaller(served.address, TIMEOUT_S)) as caller:
        caller.call("publish", LiveUpdate(picture=drawn))
    assert served.run(served.hub.fleet())[1].keys == keys


def test_who_has_no_token_or_makes_no_sense_is_hung_up_on(served: Served) -> None:
    address = served.address
    call = frame(1, ("poll", ("r", 1, frozenset(), 0.0)))
    assert refused(address, b"?" * TOKEN_BYTES + call)
    assert refused(address, address.token + HEAD.pack(1, hub_door.FRAME_BYTES_MAX + 1))
    assert refused(address, address.token + HEAD.pack(1, 3) + b"???")
    assert refused(address, address.token + frame(1, ("close", ())))
    stranger = replace(address, token=bytes(TOKEN_BYTES))
    with (
        closing(HubCaller(stranger, TIMEOUT_S)) as caller,
        pytest.raises(OSError, match=r"hung up|reset"),
    ):
        caller.call("poll")


def test_who_says_nothing_is_hung_up_on(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_door, "INTRODUCTION_S", 0.05)
    assert refused(served.address, b"?")


def test_who_calls_too_much_at_a_time_is_hung_up_on(served: Served) -> None:
    waiting = frame(1, ("poll", ("r", 1, frozenset(), TIMEOUT_S)))
    assert refused(served.address, served.address.token + waiting * (hub_door.CALLS_MAX + 1))


def test_many_calls_of_one_client_take_turns(served: Served) -> None:
    async def run() -> None:
        client = await HubClient.connect(served.address, TIMEOUT_S)
        pages = await asyncio.gather(*(poll(client, 1, 0.0) for _ in range(500)))
        assert len(pages) == 500
        client.close()

    asyncio.run(run())


def test_a_poll_fails_when_the_hub_goes_and_when_it_is_silent(served: Served) -> None:
    async def run() -> None:
        client = await HubClient.connect(served.address, TIMEOUT_S)
        with pytest.raises(TimeoutError):
            await poll(client, 1, 4.0, timeout_s=0.05)
        await asyncio.sleep(0)
        assert not client.usable, "a silent hub is trusted again"
        client = await HubClient.connect(served.address, TIMEOUT_S)
        waiting = asyncio.create_task(poll(client, 1, 4.0))
        await asyncio.sleep(0.05)
        await asyncio.to_thread(served.run, served.hub.close())
        with pytest.raises(ConnectionError):
            await waiting

    asyncio.run(run())


def test_a_shard_looks_for_another_hub(served: Served) -> None:
    other, found = Served(), [served.address]
    with closing(Publisher(lambda: found[-1])) as publish:
        publish(LiveUpdate(alerts=[alert()]))
        served.run(served.hub.close())
        found.append(other.address)
        with pytest.raises(OSError, match=r"hung up|reset|pipe"):
            publish(LiveUpdate(alerts=[alert()]))
        publish(LiveUpdate(alerts=[alert()]))
    page = other.run(other.hub.poll("r", 1, frozenset(), 0.0))
    other.end()
    assert len(page.alerts) == 1


def test_a_door_that_did_not_open_is_opened_by_the_next_call(served: Served) -> None:
    door = hub_door.HubDoor({})
    with pytest.raises(OSError, match=r"203\.0\.113\.9"):
        served.run(door.open("203.0.113.9"))  # no address of this machine
    assert served.run(door.open("127.0.0.1")).port
    served.run(door.close())
