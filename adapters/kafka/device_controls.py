"""Pausing, resuming and deleting devices: control records about single devices."""

from adapters.kafka.controls import known_controls, write_controls
from fleetpulse.identity import DeviceKey
from fleetpulse.settings import KafkaSettings
from fleetpulse.telemetry_pb2 import Control, Forget, Pause


class DeviceControls:
    """Writes control records durably, into every partition. Each call blocks for a second or so."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings

    def pause(self, key: DeviceKey, *, paused: bool) -> str | None:
        """The id of the record that pauses or resumes; None if the newest one says so already."""
        known = known_controls(self._settings)
        asked = Pause(tenant=key.tenant, device_pattern=key.device, paused=paused)
        same = [each.pause for each in known if _names(each, key)]
        if (same[-1].paused if same else False) == paused:
            return None
        word = "pause" if paused else "resume"
        return self._write(Control(id=f"{word}:{_name(key)}:{len(same)}", pause=asked))

    def forget(self, key: DeviceKey) -> str:
        """The id of the record at which the device ends."""
        asked = Forget(tenant=key.tenant, device_id=key.device)
        before = sum(each.forget == asked for each in known_controls(self._settings))
        return self._write(Control(id=f"forget:{_name(key)}:{before}", forget=asked))

    def _write(self, control: Control) -> str:
        write_controls(self._settings, [control])
        return control.id


def _names(control: Control, key: DeviceKey) -> bool:
    mine = control.pause
    return control.HasField("pause") and (mine.tenant, mine.device_pattern) == tuple(key)


def _name(key: DeviceKey) -> str:
    return key.encode().decode()
