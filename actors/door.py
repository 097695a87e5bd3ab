"""The shard's own door for device handles: a socket that a thread per caller answers at once.

An actor call costs its caller about 1 ms of CPU and crosses several threads, each of which waits
for a core that the engine is using. Callers learn address and token from the actor.
"""

import hmac
import logging
import pickle
import secrets
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from threading import BoundedSemaphore, Lock, Thread
from typing import Final

from fleetpulse.live import DeviceView

CALLERS_MAX: Final = 256
TOKEN_BYTES: Final = 32
KEY_BYTES_MAX: Final = 1024
REQUEST: Final = struct.Struct("<H")
"""Length of the device key that follows."""
ANSWER: Final = struct.Struct("<I")
"""Length of the pickled answer that follows."""
SEND_TIMEOUT_S: Final = 5.0
logger = logging.getLogger(__name__)

Answer = tuple[bool, DeviceView | None]
"""Whether the device's partition is here, and the device if it is known."""


@dataclass(frozen=True, slots=True)
class DoorAddress:
    """Where a door is and what opens it; it changes when the shard's process does."""

    host: str
    port: int
    token: bytes


class Door:
    """Listens on `host` until the process ends or `close`. `view` is called from many threads."""

    def __init__(self, host: str, view: Callable[[bytes], Answer]) -> None:
        self._view = view
        self._listener = socket.create_server((host, 0), backlog=CALLERS_MAX)
        self._room = BoundedSemaphore(CALLERS_MAX)
        self._callers: set[socket.socket] = set()
        self._lock = Lock()
        self.address = DoorAddress(
            host, self._listener.getsockname()[1], secrets.token_bytes(TOKEN_BYTES)
        )
        Thread(target=self._accept, name="door", daemon=True).start()

    def close(self) -> None:
        """Let nobody in and everybody out."""
        with self._lock:
            callers = [self._listener, *self._callers]
        for each in callers:
            hang_up(each)

    def _accept(self) -> None:
        while True:
            try:
                caller, _ = self._listener.accept()
            except OSError:
                return
            if not self._room.acquire(blocking=False):
                logger.warning("a caller is sent away: %d are being answered", CALLERS_MAX)
                hang_up(caller)
                continue
            with self._lock:
                self._callers.add(caller)
            Thread(target=self._serve, args=(caller,), name="door-caller", daemon=True).start()

    def _serve(self, caller: socket.socket) -> None:
        try:
            caller.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            caller.settimeout(SEND_TIMEOUT_S)
            if hmac.compare_digest(exactly(caller, TOKEN_BYTES), self.address.token):
                self._converse(caller)
        except OSError:
            pass  # the caller has gone, or is too slow to be waited for
        finally:
            with self._lock:
                self._callers.discard(caller)
            hang_up(caller)
            self._room.release()

    def _converse(self, caller: socket.socket) -> None:
        while True:
            caller.settimeout(None)
            (length,) = REQUEST.unpack(exactly(caller, REQUEST.size))
            if length > KEY_BYTES_MAX:
                return
            caller.settimeout(SEND_TIMEOUT_S)
            answer = pickle.dumps(self._view(exactly(caller, length)), pickle.HIGHEST_PROTOCOL)
            caller.sendall(ANSWER.pack(len(answer)) + answer)


def exactly(caller: socket.socket, size: int) -> bytes:
    """The next `size` bytes; raises ConnectionError when the caller hangs up before."""
    got = b""
    while len(got) < size:
        more = caller.recv(size - len(got))
        if not more:
            raise ConnectionError("hung up")
        got += more
    return got


def hang_up(connection: socket.socket) -> None:
    """Also wakes the thread that waits for it."""
    with suppress(OSError):  # it was not connected any more
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
