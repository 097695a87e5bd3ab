"""A keep-alive HTTP connection to the stack, with the errors that a person can act on."""

import http.client
import json
from dataclasses import dataclass
from typing import Any, Final, Self
from urllib.parse import urlencode, urlsplit

from fleetpulse.errors import RetryLater, SetupError

PROTOBUF: Final = "application/x-protobuf"
_NOT_RUNNING: Final = "start the stack with `fleetpulse up`, or name its address with --url"


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, body as JSON (None if it is none) and the Retry-After header."""

    status: int
    content: Any
    retry_after_s: float | None

    @property
    def reason(self) -> str:
        """One line on why a request was not answered 2xx."""
        error = self.content.get("error") if isinstance(self.content, dict) else None
        if isinstance(error, dict):
            return f"{self.status} {error.get('field', '')}: {error.get('reason', '')}"
        return str(self.status)


class HttpConnection:
    """One connection, used by one thread at a time; reconnects after an error."""

    def __init__(self, url: str, *, timeout_s: float = 15.0) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise SetupError(
                f"{url} is not an address", remedy="give one like http://127.0.0.1:8000"
            )
        kind = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        self.url = url
        self._prefix = parts.path.rstrip("/")
        self._connection = kind(parts.hostname, parts.port, timeout=timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def post(self, path: str, body: bytes, content_type: str = PROTOBUF) -> Answer:
        """Raises RetryLater when there is no answer."""
        return self._request("POST", path, body, {"Content-Type": content_type})

    def get(self, path: str, **query: str | int) -> Answer:
        """Raises RetryLater when there is no answer."""
        return self._request("GET", f"{path}?{urlencode(query)}" if query else path, None, {})

    def request(self, method: str, path: str, headers: dict[str, str]) -> Answer:
        """Without a body. Raises RetryLater when there is no answer."""
        return self._request(method, path, None, headers)

    def check_running(self) -> None:
        """Raises SetupError when nothing answers at this address."""
        try:
            self.get("/health")
        except RetryLater as error:
            raise SetupError(f"nothing answers at {self.url}", remedy=_NOT_RUNNING) from error

    def close(self) -> None:
        """Disconnect."""
        self._connection.close()

    def _request(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> Answer:
        try:
            self._connection.request(method, self._prefix + path, body, headers)
            response = self._connection.getresponse()
            raw = response.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise RetryLater(f"{method} {path}: {error or type(error).__name__}") from error
        return Answer(response.status, _json(raw), _seconds(response.getheader("Retry-After")))


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return None


def _seconds(header: str | None) -> float | None:
    return float(header) if header and header.isdigit() else None
