"""When each alert became visible: committed in PostgreSQL, and received over the WebSocket."""

import subprocess
from dataclasses import dataclass, field
from threading import Event, Thread

import psycopg

from benchmarks.child import said, start_module
from benchmarks.stack import MeasuredStack
from fleetpulse.errors import SetupError

_POLL_S = 0.25
_END_TIMEOUT_S = 5.0
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
    """Watches the alerts of devices whose id begins with `prefix`."""

    stack: MeasuredStack
    prefix: str
    _committed: dict[str, tuple[bytes, int, int]] = field(default_factory=dict)
    _stop: Event = field(default_factory=Event)
    _poller: Thread | None = None
    _socket: "subprocess.Popen[str] | None" = None

    def start(self) -> None:
        """Watch from here on; raises SetupError when the socket cannot be opened."""
        address = self.stack.page.replace("http", "ws", 1).rstrip("/") + "/ws"
        self._socket = start_module(
            self.stack.settings,
            "benchmarks.alert_socket",
            address,
            stack_id=self.stack.stack_id,
            told=True,
        )
        assert self._socket.stdout is not None
        problem = said(self._socket, self._socket.stdout.readline()).get("problem")
        if problem:
            raise SetupError(problem, remedy=_REMEDY)
        self._poller = Thread(target=self._poll, name="alert-watch", daemon=True)
        self._poller.start()

    @property
    def count(self) -> int:
        """Alerts so far."""
        return len(self._committed)

    def stop(self) -> list[VisibleAlert]:
        """End watching; every alert that was seen."""
        self._stop.set()
        received_us: dict[str, int] = {}
        if self._socket is not None:
            last_words, _ = self._socket.communicate(timeout=_END_TIMEOUT_S)
            received_us = said(self._socket, last_words)["received_us"]
        if self._poller is not None:
            self._poller.join(_END_TIMEOUT_S)
        return [
            VisibleAlert(key, end_us, committed_us, received_us.get(alert_id))
            for alert_id, (key, end_us, committed_us) in self._committed.items()
        ]

    def _poll(self) -> None:
        with psycopg.connect(self.stack.dsn, autocommit=True, connect_timeout=5) as connection:
            while not self._stop.is_set():
                for alert_id, key, end_us, at_us in connection.execute(
                    _COMMITTED, (f"{self.prefix}%",)
                ):
                    self._committed.setdefault(alert_id, (key.encode(), end_us, at_us))
                self._stop.wait(_POLL_S)
