"""Receives a page's alerts as a browser would: `python -m benchmarks.alert_socket ADDRESS`.

A process of its own: in the bench's, whatever else watches would hold up what is measured. Prints
a line of JSON when it listens, and when its input ends one with when each raised alert came.
"""

import json
import sys
import time
from threading import Event, Thread

from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

_OPEN_TIMEOUT_S = 10.0
_POLL_S = 0.25


def listen(socket: ClientConnection, ended: Event) -> dict[str, int]:
    """Alert id -> when it came, epoch microseconds."""
    received_us: dict[str, int] = {}
    while not ended.is_set():
        try:
            text = socket.recv(timeout=_POLL_S)
        except TimeoutError:
            continue
        except WebSocketException:
            break
        now_us = time.time_ns() // 1000
        message = json.loads(text)
        if message.get("type") == "alert" and message["kind"] == "raised":
            received_us.setdefault(message["alert_id"], now_us)
    return received_us


def main(address: str) -> None:
    """Until the input ends."""
    try:
        socket = connect(address, open_timeout=_OPEN_TIMEOUT_S)
    except (OSError, WebSocketException) as error:
        _say({"problem": f"{address} does not answer: {error}"})
        return
    ended = Event()
    with socket:
        socket.send(json.dumps({"subscribe": "alerts"}))
        _say({"listening": True})
        Thread(target=_await_end, args=(ended,), daemon=True).start()
        _say({"received_us": listen(socket, ended)})


def _await_end(ended: Event) -> None:
    sys.stdin.read()
    ended.set()


def _say(what: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
