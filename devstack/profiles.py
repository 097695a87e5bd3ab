"""Profiles of a folder, into the log."""

from pathlib import Path

from adapters.kafka.controls import publish
from fleetpulse.errors import ConfigError
from fleetpulse.profile import Profile, profile_from_yaml
from fleetpulse.settings import Settings
from fleetpulse.telemetry_pb2 import Assignment

EVERY_DEVICE = "*"


def publish_profiles(settings: Settings) -> int:
    """Make all profiles known and give every device the default one; returns how many there are.

    Publishing again changes nothing. Raises ConfigError for a profile that is wrong or missing.
    """
    profiles = read_profiles(settings.profiles_folder)
    default = settings.default_profile
    if default not in {profile.name for profile in profiles}:
        raise ConfigError(
            f"FLEETPULSE_DEFAULT_PROFILE: {settings.profiles_folder} has no profile {default}"
        )
    everyone = Assignment(device_pattern=EVERY_DEVICE, profile=default)
    publish(settings.kafka, profiles, [everyone])
    return len(profiles)


def read_profiles(folder: Path) -> list[Profile]:
    """Every `*.yaml` of the folder."""
    files = sorted(folder.glob("*.yaml"))
    return [profile_from_yaml(file.read_text(), source=file.name) for file in files]
