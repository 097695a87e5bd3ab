"""A snapshot of an alert waits until people were told of it: nobody sees it done before."""

from collections.abc import Mapping
from threading import Event

from actors.sink_writer import SinkWriter
from adapters.memory.sink import MemoryEffectSink, MemoryTable
from fleetpulse.effects import Effects
from fleetpulse.ports import Advance


def test_a_write_is_told_before_it_counts_as_done() -> None:
    seen: list[dict[int, int]] = []
    told = Event()

    def tell(_: Effects, __: Mapping[int, Advance]) -> None:
        seen.append(dict(writer.done))
        told.set()

    sink = MemoryEffectSink(MemoryTable(), name="alerts")
    writer = SinkWriter(sink, interval_s=0.0, backlog_max=4, written=tell)
    epoch = writer.claim([0])[0].owner_epoch
    writer.begin(0, 0)
    writer.submit(Effects(), {0: Advance(epoch, 0, 7)})
    assert told.wait(5)
    writer.drain(5.0)
    writer.close()
    assert seen == [{0: 0}], "it counted as done before anybody was told"
    assert writer.done == {0: 7}
