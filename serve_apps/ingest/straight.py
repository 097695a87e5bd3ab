"""The HTTP protocol of an ingest replica: a short way for requests that come whole.

The way through Serve and ASGI costs a request several tasks, messages and metadata objects, more
than all of validation and produce. A sender repeats its request's head byte for byte, so what
uvicorn's parser made of a head is remembered; a request with a known head and its whole body goes
to the ingest at once, and its answer to the socket when the log has it. Every other request, and
the first with a head, takes uvicorn's and Serve's way.
"""

from collections.abc import Sequence
from typing import Any, Final

from uvicorn.config import HTTP_PROTOCOLS
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from fleetpulse.errors import InputError
from serve_apps.ingest.answers import ACCEPTED_ONE, Answer
from serve_apps.ingest.app import PATH, Form, Ingest, form_of

HEADS_MAX: Final = 4096
HEAD_BYTES_MAX: Final = 2048
_END: Final = b"\r\n\r\n"
_UNUSUAL: Final = {
    b"connection",
    b"expect",
    b"traceparent",
    b"transfer-encoding",
    b"upgrade",
    b"x-request-id",
    b"x-request-timeout-seconds",
}
"""Headers that HTTP or Serve gives a meaning beyond the body's bytes."""


class Heads:
    """What is known of request heads, and the bytes of the answers; one per replica."""

    def __init__(self, ingest: Ingest, path: str) -> None:
        self.ingest = ingest
        self._path = path
        self.known: dict[bytes, Form] = {}
        self._defaults: Sequence[tuple[bytes, bytes]] = ()
        self._accepted = b""

    def learn(self, head: bytes, scope: Any) -> None:
        """scope: what uvicorn made of the head."""
        headers = scope["headers"]
        if (
            scope["method"] != "POST"
            or scope["raw_path"] != self._path.encode()
            or scope["query_string"]
            or scope["http_version"] != "1.1"
            or not head.startswith(b"POST ")
            or head.count(b"\n") != head.count(b"\r\n")
            or len(head) > HEAD_BYTES_MAX
            or not _UNUSUAL.isdisjoint(name for name, _ in headers)
        ):
            return
        try:
            form = form_of(headers)
        except InputError:
            return
        if form.length:
            if len(self.known) >= HEADS_MAX:
                self.known.clear()
            self.known[head] = form

    def bytes_of(self, told: Answer, defaults: Sequence[tuple[bytes, bytes]]) -> bytes:
        """An answer on the wire. defaults: headers of the server, renewed each second."""
        if told is not ACCEPTED_ONE:
            return _bytes_of(told, defaults)
        if defaults is not self._defaults:
            self._accepted = _bytes_of(told, defaults)
            self._defaults = defaults
        return self._accepted


class StraightProtocol(HttpToolsProtocol):
    """One connection. Subclasses name the replica's heads."""

    heads: Heads
    cycle: Any
    """Of uvicorn's newest request; None before the first."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._known = self.heads.known
        self._take = self.heads.ingest.take
        self._head = b""
        """Of the request that is being parsed, if it can be learnt."""
        self._in_message = False
        self._asked = False
        """A request on the short way waits for its answer."""
        self._ending = False
        self._early = b""
        """What came before that answer."""
        self._heard_s = 0.0

    def data_received(self, data: bytes) -> None:
        """Whatever the connection has."""
        if self._asked:
            self._early += data
            self.flow.pause_reading()
            return
        if (
            not self._in_message
            and (self.cycle is None or self.cycle.response_complete)
            # Who does not read its answers waits for them on the long way.
            and not self.flow.write_paused
        ):
            end = data.find(_END) + len(_END)
            head = data[:end]
            form = self._known.get(head)
            if form is not None and len(data) - end == form.length:
                self._heard_s = self.loop.time()
                if self.timeout_keep_alive_task is None:
                    self._watch(self.timeout_keep_alive)
                self._asked = True
                self._take(form, data[end:], self._answered)
                return
            self._head = head
        super().data_received(data)
        self._head = b""

    def on_message_begin(self) -> None:
        """Parser."""
        self._in_message = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Parser."""
        super().on_headers_complete()
        if self._head:
            self.heads.learn(self._head, self.scope)
            self._head = b""

    def on_message_complete(self) -> None:
        """Parser."""
        super().on_message_complete()
        self._in_message = False

    def shutdown(self) -> None:
        """Close as soon as nothing is asked."""
        if self._asked:
            self._ending = True
        else:
            super().shutdown()

    def timeout_keep_alive_handler(self) -> None:
        """The short way does not renew the timer: it is looked at when it is over."""
        left_s = self._heard_s + self.timeout_keep_alive - self.loop.time()
        if self._asked or left_s > 0:
            self._watch(max(left_s, 1.0))
        else:
            super().timeout_keep_alive_handler()

    def _watch(self, after_s: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(
            after_s, self.timeout_keep_alive_handler
        )

    def _answered(self, told: Answer) -> None:
        self._asked = False
        if self.transport.is_closing():
            return
        self.transport.write(self.heads.bytes_of(told, self.server_state.default_headers))
        if self._ending:
            self.transport.close()
        elif self._early:
            data, self._early = self._early, b""
            self.flow.resume_reading()
            self.data_received(data)


def serve_straight(ingest: Ingest) -> None:
    """Let the server that Serve starts next in this process use it: Serve has no setting for it."""
    protocols: dict[str, Any] = HTTP_PROTOCOLS
    protocols["auto"] = straight_protocol(ingest, PATH)


def straight_protocol(ingest: Ingest, path: str) -> type[StraightProtocol]:
    """The protocol class of a replica that serves `path`."""
    return type("ReplicaProtocol", (StraightProtocol,), {"heads": Heads(ingest, path)})


def _bytes_of(told: Answer, defaults: Sequence[tuple[bytes, bytes]]) -> bytes:
    lines = [STATUS_LINE[told.status]]
    for name, value in (*defaults, *told.headers):
        lines += (name, b": ", value, b"\r\n")
    return b"".join((*lines, b"\r\n", told.body))
