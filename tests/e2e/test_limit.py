"""The bare loop sees every sample and makes as many windows as the frames hold."""

import time
from pathlib import Path

from adapters.kafka.admin import KafkaAdmin
from benchmarks.limit_run import measure_limit
from benchmarks.plan import LoadPlan
from fleetpulse.settings import KafkaSettings, Settings
from simulator.targets.kafka import KafkaTarget

ROOT = Path(__file__).resolve().parents[2]
DEVICES, ROUNDS, FRAME = 30, 40, 20


def test_the_bare_loop_counts(kafka: KafkaSettings, tmp_path: Path) -> None:
    plan = LoadPlan(
        run="limit",
        devices=DEVICES,
        rate_hz=200,
        frame_samples=FRAME,
        seconds=ROUNDS * FRAME / 200,
        via="kafka",
        disorder=0,
        duplicates=0,
        lateness_ms=0,
        ill=0,
        profile_file=str(ROOT / "profiles" / "rotating-machine.yaml"),
    )
    KafkaAdmin(kafka).create_topics()
    fleet = plan.fleet(start_us=time.time_ns() // 1000)
    target = KafkaTarget(kafka, frame_samples=FRAME)
    for number in range(plan.rounds):
        target.send(fleet.frames(number))
    target.close(30)

    found = measure_limit(Settings(data_folder=tmp_path, kafka=kafka), plan)

    assert found.samples == DEVICES * ROUNDS * FRAME
    assert found.windows == DEVICES * ((ROUNDS * FRAME - 256) // 128 + 1)
    assert found.cpu_s > 0
