"""A call into the client library that is left alone when it forgets its own time limit."""

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import Final

from confluent_kafka import KafkaError, KafkaException

_GRACE_S: Final = 0.5
"""A call that returns so long after its time limit never will."""


class Forgotten(KafkaException):
    """It has not returned, and whatever it works on must not be used again."""


def bounded(call: Callable[[float], object], timeout_s: float) -> None:
    """Make the call with this time limit, in a thread that is left behind if it does not return.

    Raises what it raises, or Forgotten.
    """
    answer: Future[None] = Future()

    def run() -> None:
        try:
            call(timeout_s)
        except BaseException as error:  # noqa: BLE001 - raised where the answer is awaited
            answer.set_exception(error)
        else:
            answer.set_result(None)

    Thread(target=run, name="kafka-call", daemon=True).start()
    try:
        answer.result(timeout_s + _GRACE_S)
    except TimeoutError:
        reason = "a call does not return, whatever its time limit"
        raise Forgotten(KafkaError(KafkaError._TIMED_OUT, reason)) from None
