"""Late data in alerts that are open while they are computed anew, on real Kafka and PostgreSQL."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from actors.support import Support
from fleetpulse.recompute.correction import Correction
from fleetpulse.recompute.job import Claimed
from fleetpulse.wire import encode_block
from tests.actors.plant import KEY, PROFILE, Plant

MIDNIGHT = 2 * 3600 * 10
"""Slots of the plant's first day; slots count from its begin."""
RAISED = MIDNIGHT - 200
CLEARED = MIDNIGHT + 200
END = CLEARED + 400
MISSING = 5
"""Slots that come late; live holds the value before them."""
QUIET, ALERTED, HELD = 1.0, 7.0, 11.0


class Machine:
    """An alert that is open at midnight; a gap behind a high value, of which live makes a peak."""

    def __init__(self, plant: Plant, gap: int, peak: float = ALERTED) -> None:
        """gap: its first slot. peak: of the alert after midnight."""
        self._plant = plant
        self.gap = gap
        values = np.full(END, QUIET, np.float32)
        values[RAISED:CLEARED] = ALERTED
        values[MIDNIGHT + 50 : MIDNIGHT + 100] = peak
        values[gap - 1] = HELD
        self._values = values

    def sends(self, begin: int, end: int) -> None:
        """These slots, without the gap."""
        cuts = [begin, *[x for x in (self.gap, self.gap + MISSING) if begin < x < end], end]
        for first, last in pairwise(cuts):
            if first != self.gap:
                self._block(first, last)

    def sends_late(self) -> None:
        """The gap's."""
        self._block(self.gap, self.gap + MISSING)

    def sends_orderly(self) -> None:
        """All of it."""
        self._block(RAISED - 400, END)

    def _block(self, begin: int, end: int) -> None:
        values = np.repeat(self._values[:, None], 2, axis=1)
        period_us = PROFILE.period_ns // 1000
        self._plant.produce(
            *(
                encode_block(
                    values[at : min(at + 50, end)],
                    t0_us=self._plant.t0_us + at * period_us,
                    period_ns=PROFILE.period_ns,
                )
                for at in range(begin, end, 50)
            )
        )


WITHIN = MIDNIGHT - 100
AT_ITS_BEGIN = RAISED + 3
"""Within the window that raises the alert."""


def orderly(plants: Callable[[], Plant], gap: int, peak: float) -> list[tuple[Any, ...]]:
    plant = plants()
    Machine(plant, gap, peak).sends_orderly()
    plant.live()
    return plant.view()


def until_after_midnight(plant: Plant, gap: int, peak: float) -> Machine:
    """The alert is open, and the day in which something was late has ended."""
    machine = Machine(plant, gap, peak)
    machine.sends(RAISED - 400, CLEARED - 50)
    machine.sends_late()
    assert len(plant.live().late) == 1
    plant.marked()
    return machine


def alerts(plant: Plant) -> list[tuple[Any, ...]]:
    """Whether cleared, score, peak, view epoch."""
    return plant.rows(
        "SELECT cleared_at IS NOT NULL, score, peak_score, view_epoch FROM alerts"
        " WHERE NOT withdrawn ORDER BY raised_at"
    )


def again(plant: Plant) -> None:
    plant.rows("UPDATE recompute_jobs SET due_at = now() RETURNING 1")
    assert plant.support().work() == 1


def test_the_peak_of_an_open_alert_is_corrected_when_it_ends(plants: Callable[[], Plant]) -> None:
    expected = orderly(plants, WITHIN, ALERTED)
    plant = plants()
    machine = until_after_midnight(plant, WITHIN, ALERTED)
    plant.support().work()
    assert [each[:2] for each in plant.jobs()] == [("following", 1)], "live has another peak"
    machine.sends(CLEARED - 50, END)
    plant.live()
    assert [each[:3] for each in alerts(plant)] == [(True, ALERTED, HELD)], "live's, for now"
    again(plant)
    assert plant.jobs() == [("promoted", 2, 2, "")]
    assert [each[0::2] for each in alerts(plant)] == [(True, ALERTED)]
    assert plant.view() == expected


@pytest.mark.parametrize("peak", [ALERTED, HELD], ids=["another peak", "the same peak"])
def test_an_open_alert_of_next_is_ended_by_next_and_not_by_live(
    plants: Callable[[], Plant], peak: float
) -> None:
    expected = orderly(plants, AT_ITS_BEGIN, peak)
    plant = plants()
    machine = until_after_midnight(plant, AT_ITS_BEGIN, peak)
    before = alerts(plant)
    plant.support().work()
    corrected = alerts(plant)
    assert [each[0] for each in before + corrected] == [False, False]
    assert [each[3] for each in corrected] == [1], "the same alert, raised by another score"
    assert before[0][1] != corrected[0][1]
    assert [each[0] for each in plant.jobs()] == ["following"]
    machine.sends(CLEARED - 50, END)
    plant.live()
    assert alerts(plant) == corrected, "live's end of it is refused"
    again(plant)
    assert plant.jobs() == [("promoted", 2, 2, "")]
    assert plant.view() == expected


def test_live_may_end_an_alert_before_its_correction(plants: Callable[[], Plant]) -> None:
    """A worker computes up to where live was, and promotes when live is further."""
    expected = orderly(plants, AT_ITS_BEGIN, HELD)
    plant = plants()
    machine = until_after_midnight(plant, AT_ITS_BEGIN, HELD)
    support = plant.support()
    ready, found, end = computed(support)
    machine.sends(CLEARED - 50, END)
    plant.live()
    assert [each[0] for each in alerts(plant)] == [True]
    support.conclude(ready, found, end)
    assert [each[0] for each in plant.jobs()] == ["following"], "its end is not known yet"
    again(plant)
    assert plant.view() == expected


def computed(support: Support) -> tuple[list[Claimed], dict[bytes, Correction], int]:
    ready, end = support.ready(support.claim())
    return ready, {KEY: support.compute(ready, end)[KEY]}, end
