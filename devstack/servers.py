"""Kafka and PostgreSQL without the rest of a stack, for work that shards must not see."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from devstack.server_parts import KafkaPart, PostgresPart
from fleetpulse.settings import Settings

_STOP_TIMEOUT_S: Final = 15.0


@contextmanager
def servers_alone(settings: Settings) -> Iterator[Settings]:
    """Our own servers, or those that the settings name; answers settings that name both."""
    folder = settings.data_folder.absolute()
    with ExitStack() as ends:
        for part in (KafkaPart(folder), PostgresPart(folder)):
            ends.callback(part.stop, _STOP_TIMEOUT_S)
            settings = part.start(settings).settings
        yield settings
