"""What a stack's processes used is counted from their first moment."""

import subprocess
import sys
import time

from benchmarks.processes import ProcessWatch

_MARK = "FLEETPULSE_TEST_WATCHED"
_BUSY = "import time; end = time.process_time() + 0.3\nwhile time.process_time() < end: pass"


def test_a_process_seen_before_its_program_runs_is_watched() -> None:
    """As one just started looks: there already, with another environment than it will have."""
    starting = f"sleep 0.2; exec env {_MARK}=run '{sys.executable}' -c '{_BUSY}\ninput()'"
    with subprocess.Popen(["/bin/sh", "-c", starting], stdin=subprocess.PIPE) as process:
        watch = ProcessWatch(_MARK, "run", interval_s=0.02)
        watch.start()
        limit_s = time.monotonic() + 20
        while not (spent := _cpu_s(watch)) >= 0.3 and time.monotonic() < limit_s:
            time.sleep(0.02)
        usages = watch.stop()
        process.communicate(b"\n", timeout=20)

    assert spent >= 0.3, f"{spent} of 0.3 CPU seconds were counted"
    assert [usage.name for usage in usages] == ["other"]
    assert usages[0].memory_peak_mb > 1


def _cpu_s(watch: ProcessWatch) -> float:
    return sum(watch.cpu_between(0, time.time()).values())
