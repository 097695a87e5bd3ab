"""What a run asks the stack's REST API afterwards."""

import threading
import time
from typing import Any, Final

from fleetpulse.errors import RetryLater
from simulator.http_client import Answer, HttpConnection
from simulator.series import parse_time_us
from simulator.verdict import Alert

_PAGE: Final = 1000
_PAGES_MAX: Final = 1000
_POLL_S: Final = 0.5
_SETTLE_S: Final = 15.0


class Api:
    """Reads devices and alerts. Raises RetryLater when the stack does not answer as it should."""

    def __init__(self, connection: HttpConnection, stop: threading.Event) -> None:
        self._connection, self._stop = connection, stop

    def knows(self, device_id: str) -> bool:
        """True when the device has sent before."""
        return self._device(device_id) is not None

    def newest_us(self, device_id: str) -> int | None:
        """Event time of the device's newest sample that was processed; None: none yet."""
        live = (self._device(device_id) or {}).get("live")
        return parse_time_us(live["last_at"]) if live else None

    def alerts(self, from_us: int, device_id: str | None = None) -> list[Alert]:
        """Alerts raised since, oldest first."""
        query: dict[str, str | int] = {"from": from_us // 1000, "limit": _PAGE}
        if device_id:
            query["device_id"] = device_id
        found: list[Alert] = []
        for _ in range(_PAGES_MAX):
            page = _content(self._connection.get("/api/v1/alerts", **query))
            found += [
                Alert(row["device_id"], parse_time_us(row["raised_at"]), row["score"])
                for row in page["alerts"]
            ]
            if page["next"] is None:
                break
            query["cursor"] = page["next"]
        return found[::-1]

    def settled_alerts(self, from_us: int, device_id: str | None = None) -> list[Alert]:
        """The same once their number stays as it is, or after 15 s."""
        deadline = time.monotonic() + _SETTLE_S
        before: list[Alert] | None = None
        found = self.alerts(from_us, device_id)
        while found != before and time.monotonic() < deadline:
            self._stop.wait(_POLL_S)
            before, found = found, self.alerts(from_us, device_id)
        return found

    def _device(self, device_id: str) -> dict[str, Any] | None:
        answer = self._connection.get(f"/api/v1/devices/{device_id}")
        return None if answer.status == 404 else _content(answer)


def _content(answer: Answer) -> dict[str, Any]:
    if answer.status != 200 or not isinstance(answer.content, dict):
        raise RetryLater(f"the API answered {answer.reason}")
    return answer.content
