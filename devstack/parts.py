"""The parts of a stack in starting order."""

from devstack.part import Part
from devstack.ray_parts import RayPart, ServePart, ShardsPart
from devstack.server_parts import KafkaPart, PostgresPart
from fleetpulse.settings import Settings


def parts_of(settings: Settings) -> list[Part]:
    """Every part; external ones are only connected to."""
    folder = settings.data_folder
    return [
        KafkaPart(folder),
        PostgresPart(folder),
        RayPart(settings.ray, folder),
        ShardsPart(),
        ServePart(),
    ]
