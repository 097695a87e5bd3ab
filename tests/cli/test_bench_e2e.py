"""A disturbance that would never come is refused before anything is started."""

import pytest
from typer.testing import CliRunner

from cli.app import build


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (["--villains-at", "60", "--seconds", "60"], "--villains-at"),
        (["--kill-shard-at", "99"], "--kill-shard-at"),
        (["--kill-shard-at", "10", "--rates", "1000,10000"], "--kill-shard-at"),
        (["--villains-at", "10", "--find-rate"], "--villains-at"),
    ],
)
def test_a_disturbance_outside_the_run_is_refused(arguments: list[str], option: str) -> None:
    answer = CliRunner().invoke(build(), ["bench", "e2e", *arguments])
    assert answer.exit_code == 2
    assert option in answer.output
