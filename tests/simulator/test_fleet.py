"""The seeded fleet: deterministic, canonical on the wire, faulty as planned."""

from collections import Counter

import numpy as np
import pytest

from fleetpulse.telemetry_pb2 import Batch
from fleetpulse.wire import decode_block, encode_block, kind_of
from simulator.fleet import MOMENT_US, Fleet, FleetSpec
from simulator.framing import device_field, encode_batch
from simulator.machine import CHANNELS
from simulator.schedule import Fault, FaultPlan
from simulator.transport import TransportPlan

START_US = 1_700_000_000_000_001
SLOT_US = 5000


def test_a_frame_is_what_the_wire_module_encodes() -> None:
    fleet = Fleet(FleetSpec(devices=3), start_us=START_US)
    frames = fleet.measured(7)
    for row, value in enumerate(frames.values):
        block = decode_block(value)
        again = encode_block(
            fleet.samples(7)[row], t0_us=block.t0_us, period_ns=5_000_000, sequence=7
        )
        assert value == again, "columns and single frames are encoded differently"
        assert block.t0_us + 19 * SLOT_US == frames.last_us[row]


def test_the_same_seed_gives_the_same_bytes_in_any_order() -> None:
    spec = FleetSpec(devices=50, seed=3, faults=FaultPlan(probability=0.5))
    one, other = Fleet(spec, start_us=START_US), Fleet(spec, start_us=START_US)
    forward = [one.measured(number).values for number in range(40)]
    backward = [other.measured(number).values for number in reversed(range(40))]
    assert forward == backward[::-1]
    seeded = Fleet(FleetSpec(devices=50, seed=4), start_us=START_US)
    assert seeded.measured(0).values != forward[0], "the seed changes nothing"


def test_a_device_does_not_depend_on_the_size_of_the_fleet() -> None:
    few = Fleet(FleetSpec(devices=5), start_us=START_US)
    many = Fleet(FleetSpec(devices=20), start_us=START_US)
    of_few = dict(zip(few.measured(4).keys, few.samples(4), strict=True))
    of_many = dict(zip(many.measured(4).keys, many.samples(4), strict=True))
    for key in few.keys:
        assert np.array_equal(of_few[key], of_many[key])


def test_frames_lie_on_slots_and_are_due_evenly_and_in_order() -> None:
    fleet = Fleet(FleetSpec(devices=40), start_us=START_US)
    due_us = np.concatenate([fleet.frames(number).due_us for number in range(3)])
    assert np.all(np.diff(due_us) >= 0)
    assert np.all(due_us % SLOT_US == 0)
    assert set(Counter(due_us.tolist()).values()) == {2}, "frames bunch up"
    assert fleet.start_us - START_US in range(SLOT_US)


def test_slow_devices_do_not_send_all_at_once() -> None:
    fleet = Fleet(FleetSpec(devices=1000, rate_hz=1.0, frame_samples=1), start_us=START_US)
    frames = [fleet.frames(number) for number in range(2)]
    due_us = np.concatenate([each.due_us for each in frames])
    assert np.all(np.diff(due_us) >= 0)
    assert set(np.diff(np.unique(due_us)).tolist()) == {MOMENT_US}
    assert set(Counter(due_us.tolist()).values()) == {5}, "1,000 devices in 200 moments a second"
    assert len({int(each) for each in frames[0].last_us}) == 1, "all measure at the same time"


def test_all_channels_are_finite_and_plausible() -> None:
    samples = np.concatenate(
        [Fleet(FleetSpec(devices=30), start_us=0).samples(number) for number in range(20)], 1
    )
    assert np.isfinite(samples).all()
    low, high = samples.min((0, 1)), samples.max((0, 1))
    assert np.all(low > [-4, -4, -4, 50, 9, 3.5])
    assert np.all(high < [4, 4, 4, 70, 20, 6])


@pytest.mark.parametrize("fault", list(Fault))
def test_a_fault_changes_its_device_only_within_its_episode(fault: Fault) -> None:
    plan = FaultPlan(probability=0.3, faults=(fault,))
    ill = Fleet(FleetSpec(devices=20, faults=plan), start_us=0)
    well = Fleet(FleetSpec(devices=20), start_us=0)
    rounds = 60 * 10
    rows = np.argsort(ill.measured(0).device)
    difference = np.concatenate([ill.samples(n) != well.samples(n) for n in range(rounds)], 1)[rows]
    episodes = ill.episodes(rounds)
    assert episodes, "nobody fell ill"
    expected = np.zeros_like(difference)
    for episode in episodes:
        span = slice(episode.first_sample, episode.end_sample)
        channels = (
            slice(episode.channel, episode.channel + 1)
            if fault in (Fault.DRIFT, Fault.STUCK)
            else slice(0, 3)
        )
        expected[episode.device, span, channels] = True
        changed = difference[episode.device, span, channels].mean()
        assert changed > 0.95, f"{fault} leaves samples as they were"
    assert not (difference & ~expected).any(), f"{fault} touches samples outside of its episode"


def test_a_stuck_sensor_repeats_one_value() -> None:
    plan = FaultPlan(probability=1.0, faults=(Fault.STUCK,))
    fleet = Fleet(FleetSpec(devices=4, faults=plan), start_us=0)
    samples = np.concatenate([fleet.samples(number) for number in range(600)], 1)
    samples = samples[np.argsort(fleet.measured(0).device)]
    for episode in fleet.episodes(600):
        values = samples[episode.device, episode.first_sample : episode.end_sample, episode.channel]
        assert len(set(values.tolist())) == 1


def _run(plan: TransportPlan, rounds: int) -> tuple[Fleet, list[tuple[int, int, int, int]]]:
    fleet = Fleet(FleetSpec(devices=50, transport=plan), start_us=0)
    parts = [fleet.frames(number) for number in range(rounds)]
    rest = fleet.remaining()
    parts += [rest] if rest else []
    sent = [
        (int(d), int(s), int(due), int(last))
        for p in parts
        for d, s, due, last in zip(p.device, p.sequence, p.due_us, p.last_us, strict=True)
    ]
    return fleet, sent


def test_disorder_keeps_every_frame_and_its_bound() -> None:
    fleet, sent = _run(TransportPlan(reordered=0.05, duplicated=0.02, lateness_s=2.0), 200)
    counts = Counter((device, sequence) for device, sequence, _, _ in sent)
    assert len(counts) == 50 * 200, "a frame was lost"
    assert sum(counts.values()) - len(counts) == fleet.transport_truth.duplicated > 0
    newest: dict[int, int] = {}
    overtaken = 0
    for device, sequence, _, last_us in sent:
        if last_us < newest.get(device, 0):
            overtaken += 1
            assert newest[device] - last_us < 2_000_000 - 100_000, f"{sequence} is too late"
        newest[device] = max(last_us, newest.get(device, 0))
    assert overtaken >= fleet.transport_truth.reordered > 300


def test_late_frames_miss_the_bound_and_silences_lose_frames() -> None:
    fleet, sent = _run(TransportPlan(late=0.02, dropout=0.02, lateness_s=1.0), 200)
    truth = fleet.transport_truth
    assert truth.dropped > 0
    assert truth.late > 0
    assert len(sent) == 50 * 200 - truth.dropped
    delayed = [due - last for _, _, due, last in sent if due > last]
    assert len(delayed) == truth.late
    assert min(delayed) > 1_000_000, "a late frame came within the bound"


def test_a_gateway_batch_names_each_device() -> None:
    fleet = Fleet(FleetSpec(devices=3), start_us=0)
    frames = fleet.measured(0)
    named = [
        value + device_field(fleet.device_ids[device])
        for value, device in zip(frames.values, frames.device, strict=True)
    ]
    body = encode_batch(named)
    assert kind_of(body) == "batch"
    parsed = Batch.FromString(body)
    assert [block.device_id for block in parsed.blocks] == fleet.device_ids
    assert decode_block(named[1]).device_id == fleet.device_ids[1]
    assert len(parsed.blocks[0].samples) == 20 * len(CHANNELS) * 4
