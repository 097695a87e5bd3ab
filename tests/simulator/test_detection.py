"""The whole main job in one process: simulated machines, the engine, the shipped model."""

from fleetpulse.profile import profile_from_yaml
from fleetpulse.settings import ModelSettings, Settings
from models.onnx_scorer import OnnxScorer
from simulator.fleet import Fleet, FleetSpec
from simulator.report import illnesses
from simulator.schedule import FaultPlan
from simulator.transport import TransportPlan
from simulator.verdict import GRACE_US, Alert, Verdict, judge
from tests.simulator.engine_run import EngineRun

START_US = 1_763_700_000_000_000
ROUNDS = 600
NOTICEABLE_SAMPLES = 600


def verdict_of(spec: FleetSpec) -> tuple[Verdict, EngineRun]:
    path = Settings().profiles_folder / "rotating-machine.yaml"
    profile = profile_from_yaml(path.read_text(encoding="utf-8"))
    run = EngineRun(profile, OnnxScorer(ModelSettings()))
    fleet = Fleet(spec, start_us=START_US)
    parts = [fleet.frames(number) for number in range(ROUNDS)]
    rest = fleet.remaining()
    for frames in [*parts, *([rest] if rest else [])]:
        records = zip(frames.keys, frames.values, strict=True)
        run.feed(records, int(frames.due_us[-1]))
    alerts = [Alert(each.device_id, each.at_us, each.score) for each in run.raised]
    return judge(illnesses(fleet, ROUNDS, NOTICEABLE_SAMPLES), alerts, GRACE_US), run


def test_illnesses_are_met_within_two_seconds_and_no_alert_is_false() -> None:
    verdict, run = verdict_of(FleetSpec(devices=60, faults=FaultPlan(probability=0.7)))
    assert not run.rejected
    assert not verdict.false_alerts
    for kind, found in verdict.kinds.items():
        assert found.met >= 0.9 * found.begun > 3, f"{kind} is missed"
        assert found.seconds_p50 is not None
        assert found.seconds_p50 < 2.0, f"{kind} is noticed late"


def test_a_bad_network_causes_no_alert() -> None:
    transport = TransportPlan(reordered=0.02, duplicated=0.01, late=0.002, dropout=0.005)
    verdict, run = verdict_of(FleetSpec(devices=60, transport=transport))
    assert set(run.rejected) == {"late"}
    assert verdict.alerts == 0
