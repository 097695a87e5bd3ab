"""The shard's door: who knows the token is answered, in order; nobody disturbs another."""

import asyncio
import pickle
import socket
from collections.abc import Iterator
from dataclasses import replace
from threading import Event, active_count
from threading import enumerate as threads

import pytest

from actors import door as doors
from actors.door import ANSWER, KEY_BYTES_MAX, REQUEST, Answer, Door
from actors.door_client import DoorClient

TIMEOUT_S = 5.0


@pytest.fixture
def slow() -> Event:
    return Event()


@pytest.fixture
def door(slow: Event) -> Iterator[Door]:
    def view(key: bytes) -> Answer:
        if key == b"slow":
            slow.wait(TIMEOUT_S)
        return key.startswith(b"default/"), None

    opened = Door("127.0.0.1", view)
    yield opened
    slow.set()
    opened.close()


async def ask(door: Door, *keys: bytes) -> list[Answer]:
    client = await DoorClient.connect(door.address, TIMEOUT_S)
    try:
        return list(await asyncio.gather(*(client.view(key, TIMEOUT_S) for key in keys)))
    finally:
        client.close()


def test_answers_come_in_the_order_of_the_requests(door: Door) -> None:
    keys = [b"default/a" if number % 3 else b"other/a" for number in range(500)]
    answers = asyncio.run(ask(door, *keys))
    assert answers == [(key == b"default/a", None) for key in keys]


def test_a_caller_without_the_token_gets_no_answer(door: Door) -> None:
    stranger = replace(door.address, token=b"?" * doors.TOKEN_BYTES)

    async def try_it() -> None:
        client = await DoorClient.connect(stranger, TIMEOUT_S)
        await client.view(b"default/a", TIMEOUT_S)

    with pytest.raises(ConnectionError):
        asyncio.run(try_it())


def test_an_endless_key_ends_only_its_own_connection(door: Door) -> None:
    with socket.create_connection((door.address.host, door.address.port)) as s:
        s.settimeout(TIMEOUT_S)
        s.sendall(door.address.token + REQUEST.pack(KEY_BYTES_MAX + 1))
        assert s.recv(1) == b"", "the door must hang up"
    assert asyncio.run(ask(door, b"default/a")) == [(True, None)]


def test_a_caller_who_waits_holds_up_nobody(door: Door, slow: Event) -> None:
    async def both() -> Answer:
        client = await DoorClient.connect(door.address, TIMEOUT_S)
        waiting = asyncio.ensure_future(client.view(b"slow", TIMEOUT_S))
        other = (await ask(door, b"default/a"))[0]
        assert not waiting.done()
        slow.set()
        await waiting
        client.close()
        return other

    assert asyncio.run(both()) == (True, None)


def test_when_the_shard_goes_every_caller_learns_it(door: Door) -> None:
    async def left() -> None:
        client = await DoorClient.connect(door.address, TIMEOUT_S)
        await client.view(b"default/a", TIMEOUT_S)
        waiting = asyncio.ensure_future(client.view(b"slow", TIMEOUT_S))
        await asyncio.sleep(0)  # lets the request leave
        door.close()
        with pytest.raises(ConnectionError):
            await waiting
        assert not client.usable
        with pytest.raises(ConnectionError):
            await client.view(b"default/a", TIMEOUT_S)

    asyncio.run(left())


def test_a_shard_that_hangs_is_given_up_in_time(door: Door) -> None:
    async def impatient() -> None:
        client = await DoorClient.connect(door.address, TIMEOUT_S)
        try:
            await client.view(b"slow", 0.05)
        finally:
            client.close()

    with pytest.raises(TimeoutError):
        asyncio.run(impatient())


def test_callers_are_bounded(door: Door) -> None:
    host, port = door.address.host, door.address.port
    callers = [socket.create_connection((host, port)) for _ in range(doors.CALLERS_MAX + 8)]
    try:
        callers[-1].settimeout(TIMEOUT_S)
        assert callers[-1].recv(1) == b"", "one too many must be sent away"
        assert active_count() < doors.CALLERS_MAX + 64, [each.name for each in threads()]
    finally:
        for each in callers:
            each.close()


def test_an_answer_that_comes_in_pieces_is_put_together() -> None:
    client = DoorClient()
    body = pickle.dumps((True, None))
    message = ANSWER.pack(len(body)) + body

    async def feed() -> Answer:
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        client._waiting.append(answer)
        for at in range(len(message)):
            client.data_received(message[at : at + 1])
        return await answer

    assert asyncio.run(feed()) == (True, None)
