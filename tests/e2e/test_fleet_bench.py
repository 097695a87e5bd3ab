"""Our engine in the comparison: what the job computes, and every CPU second that it costs."""

from pathlib import Path

from benchmarks.fleet.bench import Bench
from benchmarks.fleet.catalog import BOUND, OURS
from benchmarks.fleet.job import JOBS
from fleetpulse.settings import Settings

FRAMES = 45


def test_a_whole_stack_computes_the_job(tmp_path: Path) -> None:
    job = JOBS["fleet-200"]
    bench = Bench(
        Settings(data_folder=tmp_path),
        job.name,
        with_model=True,
        tell=lambda _: None,
        on_start=lambda _: None,
    )

    before, ours, after = bench.run([OURS], FRAMES)

    assert [each.result.contender for each in (before, ours, after)] == [BOUND, OURS, BOUND]
    assert not [each.result.findings for each in (before, ours, after) if each.result.findings]
    result = ours.result
    assert result.samples == before.result.samples == FRAMES * job.frame_samples * job.devices
    assert {"shard", "ray system", "ingest"} <= result.cpu_by_role_s.keys()
    assert not {"broker", "postgres"} & result.cpu_by_role_s.keys(), "they stand beside"
    assert set(result.servers_cpu_s) == {"broker", "postgres"}
    floor_s = before.result.cpu_s / 2
    assert result.cpu_by_role_s["shard"] > floor_s, "a shard's work was counted from its beginning"
    assert result.seconds * 2 > result.cpu_by_role_s["shard"], "on two cores"
