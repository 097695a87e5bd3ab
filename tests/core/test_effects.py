"""Effects are appended, and taken apart by partition."""

import numpy as np

from fleetpulse.effects import Effects
from tests.core.logs import difference, feed, fresh_engine
from tests.core.test_cuts import disorderly_log


def test_effects_without_a_partition_are_those_of_the_others() -> None:
    log = disorderly_log(1)
    whole = feed(fresh_engine(), log.batch())
    partitions = np.array(log.partitions)
    for partition in (0, 1):
        others = np.flatnonzero(partitions != partition)
        alone = feed(fresh_engine(), log.batch().take(others))
        assert not alone.empty
        assert not difference(whole.without(frozenset({partition})), alone)
    assert whole.without(frozenset()) is whole
    assert whole.without(frozenset({0, 1})).empty


def test_extended_effects_keep_their_order() -> None:
    log = disorderly_log(2)
    engine, effects = fresh_engine(), Effects()
    assert effects.empty
    for begin in range(0, len(log.keys), 7):
        effects.extend(feed(engine, log.batch(begin, min(begin + 7, len(log.keys)))))
    assert not difference(effects, feed(fresh_engine(), log.batch()))
