"""Control records about the whole run: savepoints, and the version of its results."""

from adapters.kafka.controls import known_controls, write_controls
from fleetpulse.settings import KafkaSettings
from fleetpulse.snapshot import FIRST_RESULT_VERSION
from fleetpulse.telemetry_pb2 import Control, ResultVersion, Savepoint


def ask_savepoint(settings: KafkaSettings, name: str) -> str:
    """The id of the record behind which every partition's state is to be kept. Blocks."""
    asked = Savepoint(name=name)
    before = sum(each.savepoint == asked for each in known_controls(settings))
    return _write(settings, Control(id=f"savepoint:{name}:{before}", savepoint=asked))


def raise_result_version(settings: KafkaSettings, version: int) -> tuple[int, str | None]:
    """The version that results have so far, and the id of the record from which on they have
    another; None if they have that version already. Blocks.
    """
    known = [each for each in known_controls(settings) if each.HasField("result_version")]
    current = known[-1].result_version.version if known else FIRST_RESULT_VERSION
    if current == version:
        return current, None
    asked = ResultVersion(version=version)
    return current, _write(
        settings, Control(id=f"result_version:{version}:{len(known)}", result_version=asked)
    )


def _write(settings: KafkaSettings, control: Control) -> str:
    write_controls(settings, [control])
    return control.id
