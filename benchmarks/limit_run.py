"""The bare loop as a process of its own, on the frames of a run or on frames made for it."""

import json
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict

from adapters.kafka.admin import KafkaAdmin
from benchmarks.child import said, start_module
from benchmarks.limit import LimitPlan, LimitResult
from benchmarks.plan import LoadPlan
from devstack.free_ports import free_ports
from devstack.kafka_server import KafkaServer
from fleetpulse.errors import ConfigError, Overloaded
from fleetpulse.identity import DEFAULT_TENANT
from fleetpulse.settings import Settings
from simulator.targets.kafka import KafkaTarget

_LOOP_TIMEOUT_S = 600.0
_CLOSE_S = 60.0


def measure_limit(settings: Settings, plan: LoadPlan) -> LimitResult:
    """One pass over what `plan` left in the log."""
    profile = plan.profile
    if profile.model is None:
        raise ConfigError(f"profile {profile.ref} has no model: there is no bare loop for it")
    limit = LimitPlan(
        prefix=f"{DEFAULT_TENANT}/{plan.prefix}-",
        frame_samples=plan.frame_samples,
        channels=len(profile.channels),
        window=profile.window.size,
        hop=profile.window.hop,
        model=profile.model,
    )
    plan_file = settings.data_folder / "bench-limit.json"
    plan_file.write_text(json.dumps(asdict(limit)))
    loop = start_module(settings, "benchmarks.limit", plan_file)
    try:
        output, _ = loop.communicate(timeout=_LOOP_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise Overloaded(f"the bare loop took more than {_LOOP_TIMEOUT_S:g} s") from error
    finally:
        loop.kill()
    return LimitResult(**said(loop, output))


def limit_of_fresh_log(
    settings: Settings, plan: LoadPlan, on_round: Callable[[int], None]
) -> LimitResult:
    """Fill a topic of a broker of its own as fast as it takes, then run the loop over it."""
    kafka = settings.kafka.model_copy(update={"port": free_ports(2), "bootstrap": None})
    folder = settings.data_folder.absolute() / "bench-limit"
    own = settings.model_copy(update={"kafka": kafka, "data_folder": folder})
    shutil.rmtree(folder, ignore_errors=True)
    server = KafkaServer(kafka, folder / "kafka")
    try:
        server.start()
        KafkaAdmin(kafka).create_topics()
        target = KafkaTarget(kafka, frame_samples=plan.frame_samples)
        fleet = plan.fleet(start_us=time.time_ns() // 1000 - round(plan.seconds * 1e6))
        for number in range(plan.rounds):
            target.send(fleet.frames(number))
            on_round(number + 1)
        target.close(_CLOSE_S)
        return measure_limit(own, plan)
    finally:
        server.stop()
