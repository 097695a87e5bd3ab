"""When each alert became visible: committed in PostgreSQL, and received over the WebSocket."""

import json
import time
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import Any

import psycopg
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from fleetpulse.errors import SetupError

_POLL_S = 0.25
_OPEN_TIMEOUT_S = 10.0
_REMEDY = "start the whole stack with `fleetpulse up`"
# The row's transaction until the alert is cleared; track_commit_timestamp must be on.
_COMMITTED = """
SELECT alert_id, tenant || '/' || device_id,
    (extract(epoch FROM window_end) * 1000000)::bigint,
    (extract(epoch FROM pg_xact_commit_timestamp(xmin)) * 1000000)::bigint
FROM alerts
WHERE device_id LIKE %s AND cleared_at IS NULL
"""


@dataclass(frozen=True, slots=True)
class VisibleAlert:
    """A raised alert. received_us: over the WebSocket; None if it did not come."""

    key: bytes
    window_end_us: int
    committed_us: int
    received_us: int | None


@dataclass(slots=True)
class AlertWatch:
    """Watches the alerts of devices whose id begins with `prefix`. url: of the page."""

    dsn: str
    url: str
    prefix: str
    _committed: dict[str, tuple[bytes, int, int]] = field(default_factory=dict)
    _received: dict[str, int] = field(default_factory=dict)
    _stop: Event = field(default_factory=Event)
    _threads: list[Thread] = field(default_factory=list)

    def start(self) -> None:
        """Watch from here on; raises SetupError when the socket cannot be opened."""
        address = self.url.replace("http", "ws", 1).rstrip("/") + "/ws"
        try:
            socket = connect(address, open_timeout=_OPEN_TIMEOUT_S)
        except (OSError, WebSocketException) as error:
            raise SetupError(f"{address} does not answer: {error}", remedy=_REMEDY) from error
        socket.send(json.dumps({"subscribe": "alerts"}))
        self._begin(self._poll)
        self._begin(self._listen, socket)

    @property
    def count(self) -> int:
        """Alerts so far."""
        return len(self._committed)

    def stop(self) -> list[VisibleAlert]:
        """End watching; every alert that was seen."""
        self._stop.set()
        for thread in self._threads:
            thread.join(5)
        return [
            VisibleAlert(key, end_us, committed_us, self._received.get(alert_id))
            for alert_id, (key, end_us, committed_us) in self._committed.items()
        ]

    def _begin(self, work: Any, *args: object) -> None:
        thread = Thread(target=work, args=args, name="alert-watch", daemon=True)
        thread.start()
        self._threads.append(thread)

    def _poll(self) -> None:
        with psycopg.connect(self.dsn, autocommit=True, connect_timeout=5) as connection:
            while not self._stop.is_set():
                for alert_id, key, end_us, at_us in connection.execute(
                    _COMMITTED, (f"{self.prefix}%",)
                ):
                    self._committed.setdefault(alert_id, (key.encode(), end_us, at_us))
                self._stop.wait(_POLL_S)

    def _listen(self, socket: ClientConnection) -> None:
        with socket:
            while not self._stop.is_set():
                try:
                    message = json.loads(socket.recv(timeout=_POLL_S))
                except TimeoutError:
                    continue
                except WebSocketException:
                    return
                now_us = time.time_ns() // 1000
                if message.get("type") == "alert" and message["kind"] == "raised":
                    self._received.setdefault(message["alert_id"], now_us)
