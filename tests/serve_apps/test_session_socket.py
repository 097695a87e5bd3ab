"""Silence and sessions over the sockets: `WS /ws` events, `WS /ws/session/{id}`."""

import json
from dataclasses import replace
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from fleetpulse.effects import Presence
from fleetpulse.live import LiveUpdate, LiveWish
from tests.serve_apps.parts import (
    START_US,
    Served,
    device_row,
    live_alert,
    live_samples,
    live_scores,
    picture,
    publish,
    session_event,
    session_row,
    shard_status,
)

GONE = Presence(0, "default", "pump-1", "offline", START_US + 30, START_US)


def open_socket(served: Served, path: str) -> ClientConnection:
    return connect(served[0].url.replace("http", "ws") + path)


def hear(socket: ClientConnection, kind: str) -> dict[str, Any]:
    """The next message of this type."""
    while True:
        message: dict[str, Any] = json.loads(socket.recv(5))
        if message["type"] == kind:
            return message


def tell(served: Served, **what: Any) -> LiveWish:
    replica, loop = served
    return publish(replica.hub, loop, LiveUpdate(shard_status(), **what))


def until_watched(served: Served, key: bytes) -> None:
    while key not in tell(served).watched:
        pass


def test_events_come_to_those_who_want_them(served: Served) -> None:
    with open_socket(served, "/ws") as socket:
        socket.send(json.dumps({"subscribe": "events"}))
        socket.send(json.dumps({"subscribe": "nothing"}))
        hear(socket, "refused")
        tell(served, alerts=[live_alert("pump-1", START_US)], events=[GONE])
        first = json.loads(socket.recv(5))
        assert (first["type"], first["kind"], first["device_id"]) == ("device", "offline", "pump-1")
        assert (first["at_ms"], first["heard_ms"]) == (GONE.at_us / 1000, GONE.heard_us / 1000)
        tell(served, events=[session_event(session_row(1, ended=True))])
        session = hear(socket, "session")
        assert (session["kind"], session["session_id"]) == ("ended", f"{1:032x}")
        assert session["summary"]["channels"]["vib_x"]["count"] == 400
        assert session["summary"]["score"]["over"] == 1
    with open_socket(served, "/ws") as again:
        again.send(json.dumps({"subscribe": "events", "after": first["cursor"]}))
        assert hear(again, "session")["session_id"] == f"{1:032x}"


def test_another_tenants_events_and_alerts_are_not_told(served: Served) -> None:
    with open_socket(served, "/ws?tenant=other") as socket:
        for topic in ("events", "alerts", "nothing"):
            socket.send(json.dumps({"subscribe": topic}))
        hear(socket, "refused")
        mine = replace(GONE, tenant="other")
        tell(served, alerts=[live_alert("pump-1", START_US)], events=[GONE, mine])
        assert json.loads(socket.recv(5))["tenant"] == "other"


def test_the_fleet_shows_who_is_offline(served: Served) -> None:
    served[0].reads.device_rows.append(device_row("pump-0", online=False))
    tell(served, picture=picture({"pump-0": 0.5, "pump-1": 0.5}, START_US), events=[GONE])
    with open_socket(served, "/ws") as socket:
        socket.send(json.dumps({"subscribe": "fleet"}))
        while (states := hear(socket, "fleet")["states"])["offline"] < 2:
            pass
        assert states["ok"] == 0
        back = Presence(0, "default", "pump-1", "online", START_US + 90, START_US)
        tell(served, events=[back])
        while (states := hear(socket, "fleet")["states"])["offline"] > 1:
            pass
        assert states["ok"] == 1


def test_a_session_is_heard_live_until_it_ends(served: Served) -> None:
    replica, _ = served
    running, ended = session_row(1, ended=False), session_row(1, ended=True)
    replica.reads.session_rows.append(running)
    with open_socket(served, f"/ws/session/{running.session_id}") as socket:
        begun = hear(socket, "session")
        assert (begun["kind"], begun["ended_at_ms"], begun["summary"]) == ("started", None, None)
        until_watched(served, b"default/pump-1")
        tell(
            served,
            samples=[live_samples("pump-1", START_US)],
            scores=live_scores({"pump-1": 2.5, "pump-2": 1.0}, START_US),
            alerts=[live_alert("pump-2", START_US), live_alert("pump-1", START_US)],
        )
        heard = [json.loads(socket.recv(5)) for _ in range(3)]
        assert {each["type"] for each in heard} == {"samples", "score", "alert"}
        assert {each["device_id"] for each in heard} == {"pump-1"}
        replica.reads.session_rows[:] = [ended]
        tell(served, events=[session_event(ended)])
        last = hear(socket, "session")
        assert (last["kind"], last["summary"]["score"]["max"]) == ("ended", 2.5)
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(5)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1000


def test_a_session_that_has_ended_is_told_once(served: Served) -> None:
    served[0].reads.session_rows.append(session_row(1, ended=True))
    with open_socket(served, f"/ws/session/{1:032x}") as socket:
        assert [json.loads(each)["kind"] for each in socket] == ["ended"]


def test_an_unknown_session_is_refused_by_name(served: Served) -> None:
    with open_socket(served, "/ws/session/none") as socket:
        refusal = hear(socket, "refused")
        assert refusal["error"] == {"field": "session_id", "reason": "is not known"}
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(5)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008
