"""The parts of a stack in starting order."""

from devstack.part import Part
from devstack.ray_host import HOSTED, HostedPart, RayHost
from devstack.server_parts import KafkaPart, PostgresPart
from fleetpulse.settings import Settings


def parts_of(settings: Settings) -> list[Part]:
    """Every part, for the stack's owner; external ones are only connected to."""
    folder = settings.data_folder
    host = RayHost(folder)
    return [
        KafkaPart(folder),
        PostgresPart(folder),
        *(HostedPart(name, host) for name in HOSTED),
    ]
