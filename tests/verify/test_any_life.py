"""Whatever happens to shards, devices and partitions, the results are those computed offline."""

from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from hypothesis import settings

from benchmarks.offline.outcome import compute
from benchmarks.offline.records import Record
from tests.core.logs import PARTITIONS
from tests.core.test_engine_machine import EngineLife
from tests.verify.test_engine_agrees import findings
from tests.verify.tiny_log import TinyLog, profile


@cache
def models() -> Path:
    folder = Path(mkdtemp())
    TinyLog(folder, profile())
    return folder


class VerifiedLife(EngineLife):
    """The same life; at its end the log is computed record by record."""

    def teardown(self) -> None:
        super().teardown()
        log = self.log
        partitions: dict[int, list[Record]] = {p: [] for p in range(PARTITIONS)}
        for row in zip(
            log.partitions, log.offsets, log.log_time_us, log.keys, log.values, strict=True
        ):
            partitions[row[0]].append(Record(*row[1:]))
        wrong = findings(compute(partitions, models()), self.effects)
        assert not wrong, "\n".join(map(str, wrong))


VerifiedLife.TestCase.settings = settings(max_examples=10, stateful_step_count=40, deadline=None)
TestVerifiedLife = VerifiedLife.TestCase
