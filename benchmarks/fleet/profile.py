"""The job as a profile of our engine: an ordinary one."""

from benchmarks.fleet.job import HOP, LATENESS_US, RATE_HZ, WINDOW, Job
from benchmarks.fleet.model import CHANNEL_NAMES, REF, THRESHOLD
from fleetpulse.identity import DEFAULT_TENANT
from fleetpulse.profile import AlertRule, Profile, WindowSpec
from fleetpulse.telemetry_pb2 import Assignment


def profile_of(job: Job, *, with_model: bool) -> Profile:
    """Without the model, windows get a z-score, which is 0 while it learns."""
    return Profile(
        name=job.name,
        channels=CHANNEL_NAMES,
        rate_hz=RATE_HZ,
        lateness_ms=LATENESS_US // 1000 if job.disorder else 0,
        # The job has whole windows only.
        window=WindowSpec(size=WINDOW, hop=HOP, coverage_min=1.0),
        model=REF if with_model else None,
        alert=AlertRule(threshold=THRESHOLD),
        # The log is read long after the fleet fell silent.
        offline_after_s=3600.0,
    )


def assignment_of(profile: Profile) -> Assignment:
    """Of the bench's devices."""
    return Assignment(
        tenant=DEFAULT_TENANT,
        device_pattern="fleet-*",
        profile=profile.name,
        profile_revision=profile.revision,
    )
