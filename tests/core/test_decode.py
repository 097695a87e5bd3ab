"""What becomes of a record's value: frames in the rings, or one reason why not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetpulse.decode import Decoder
from fleetpulse.effects import Reason
from fleetpulse.pieces import Pieces
from fleetpulse.profile import AlertRule, Profile, WindowSpec
from fleetpulse.telemetry_pb2 import Batch, SampleBlock, Telemetry
from fleetpulse.wire import encode_block
from tests.core.logs import T0_US

PROFILE = Profile(
    name="pump", revision=3, channels=("x", "y"), rate_hz=100, block_samples_max=20,
    past_bound_s=60, future_bound_s=5, window=WindowSpec(size=8, hop=8),
    alert=AlertRule(threshold=1),
)  # fmt: skip
PERIOD_NS = PROFILE.period_ns
SLOT = T0_US // 10_000


def samples(count: int, first: float = 0.0) -> np.ndarray:
    return (first + np.arange(count * 2, dtype=np.float32)).reshape(count, 2)


def block(n: int = 4, /, **changes: object) -> bytes:
    fields: dict[str, object] = {
        "t0_us": T0_US, "period_ns": PERIOD_NS, "count": n, "samples": samples(n).tobytes(),
    }  # fmt: skip
    return SampleBlock(**fields | changes).SerializeToString()  # type: ignore[arg-type]


def telemetry(ts_ms: int = T0_US // 1000, **metrics: float) -> bytes:
    return Telemetry(ts=ts_ms, metrics=metrics).SerializeToString()


def decode(*values: bytes) -> tuple[Pieces | None, list[tuple[int, Reason]]]:
    n = len(values)
    pieces, refusals = Decoder(PROFILE).decode(np.arange(n), list(values), np.full(n, T0_US))
    return pieces, [(refusal.record, refusal.reason) for refusal in refusals]


def cells(pieces: Pieces | None) -> dict[tuple[int, int], tuple[float, ...]]:
    """(record, slot) -> values, NaN slots left out."""
    assert pieces is not None
    out: dict[tuple[int, int], tuple[float, ...]] = {}
    for record, slot, count, source in zip(
        pieces.records, pieces.slots, pieces.counts, pieces.sources, strict=True
    ):
        for k in range(count):
            values = pieces.samples[source + k]
            if not np.isnan(values).all():
                assert out.setdefault((record, slot + k), tuple(values.tolist()))
    return out


HOSTILE = [
    ("nothing", b"", Reason.UNDECODABLE),
    ("field 31 first", b"\xf8\x01\x00", Reason.UNDECODABLE),
    ("a batch", Batch(telemetry=[Telemetry(raw=b"x")]).SerializeToString(), Reason.UNDECODABLE),
    ("a torn frame", block()[:-1], Reason.UNDECODABLE),
    ("a device id that is no text", encode_block(samples(4), t0_us=T0_US, period_ns=PERIOD_NS)
     + b"\x72\x02\xff\xfe", Reason.UNDECODABLE),
    ("no sample", block(0), Reason.WRONG_SHAPE),
    ("more samples than the profile takes", block(21), Reason.WRONG_SHAPE),
    ("a count of other samples", block(4, count=5), Reason.WRONG_SHAPE),
    ("a count beyond the bytes", block(4, count=(1 << 32) - 1), Reason.WRONG_SHAPE),
    ("half a float", block(4, samples=b"\0" * 31), Reason.WRONG_SHAPE),
    ("another revision", block(profile_revision=2), Reason.WRONG_SHAPE),
    ("no period", block(period_ns=0), Reason.WRONG_SHAPE),
    ("a period beyond 63 bits", block(period_ns=1 << 63), Reason.WRONG_SHAPE),
    ("NaN", block(samples=np.full(8, np.nan, "<f4").tobytes()), Reason.NOT_FINITE),
    ("infinity", block(samples=np.full(8, np.inf, "<f4").tobytes()), Reason.NOT_FINITE),
    ("the last sample too new", block(2, period_ns=5_000_001_000), Reason.FUTURE),
    ("a period that overflows", block(20, period_ns=(1 << 63) - 1), Reason.FUTURE),
    ("the end of time", block(t0_us=(1 << 63) - 1), Reason.FUTURE),
    ("the first sample too old", block(t0_us=T0_US - 60_000_001), Reason.PAST),
    ("the beginning of time", block(t0_us=-(1 << 63)), Reason.PAST),
    ("from then until now", block(2, t0_us=-(1 << 62), period_ns=1 << 62), Reason.PAST),
    ("no metric", telemetry(), Reason.WRONG_SHAPE),
    ("an unknown channel beside NaN", telemetry(x=np.nan, zz=1), Reason.UNKNOWN_CHANNEL),
    ("a NaN metric", telemetry(x=np.nan), Reason.NOT_FINITE),
    ("a metric beyond float32", telemetry(y=3.5e38), Reason.NOT_FINITE),
    ("a metric that rounds to infinity", telemetry(y=2.0**128 - 2.0**103), Reason.NOT_FINITE),
    ("a sample of the far future", telemetry((1 << 63) - 1, x=1), Reason.FUTURE),
    ("a sample of the far past", telemetry(-(1 << 63), x=1), Reason.PAST),
]  # fmt: skip


@pytest.mark.parametrize(("value", "reason"), [p[1:] for p in HOSTILE], ids=[p[0] for p in HOSTILE])
@pytest.mark.parametrize("neighbours", [0, 8], ids=["alone", "among good ones"])
def test_refused(value: bytes, reason: Reason, neighbours: int) -> None:
    pieces, refused = decode(*[block()] * neighbours, value)
    assert refused == [(neighbours, reason)]
    taken = set() if pieces is None else set(pieces.records.tolist())
    assert taken == set(range(neighbours)), "the others are taken"


@pytest.mark.parametrize(
    "value",
    [
        block(2, period_ns=5_000_000_000),
        block(1, t0_us=T0_US + 5_000_000),
        block(t0_us=T0_US - 60_000_000),
        block(1, period_ns=0),
        block(1, period_ns=(1 << 64) - 1),
        block(profile_revision=3, sequence=9),
        telemetry(y=2.0**128 - 2.0**103 - 2.0**76),
    ],
    ids=["newest at the bound", "one sample at the bound", "oldest at the bound",
         "one sample needs no period", "of one sample the period does not matter",
         "the profile's revision", "the largest number that float32 rounds down"],
)  # fmt: skip
@pytest.mark.parametrize("copies", [1, 8])
def test_accepted(value: bytes, copies: int) -> None:
    pieces, refused = decode(*[value] * copies)
    assert refused == []
    assert pieces is not None
    assert set(pieces.records.tolist()) == set(range(copies))


def test_refusals_are_in_log_order() -> None:
    _, refused = decode(block(0), b"", block(t0_us=0), block(21), telemetry(zz=1), block(0))
    assert [record for record, _ in refused] == [0, 1, 2, 3, 4, 5]


def test_every_encoding_of_a_frame_is_the_same_frame() -> None:
    canonical = encode_block(samples(4), t0_us=T0_US, period_ns=PERIOD_NS, sequence=1)
    head = SampleBlock(t0_us=T0_US, period_ns=PERIOD_NS).SerializeToString()
    tail = SampleBlock(count=4, samples=samples(4).tobytes()).SerializeToString()
    named = [
        encode_block(samples(4), t0_us=T0_US, period_ns=PERIOD_NS, sequence=1, device_id=name)
        for name in ("a", "ä", "pump-10", "x" * 127, "x" * 128, "y" * 300)
    ]
    values = [canonical, block(), tail + head, canonical + b"\xf8\x3f\x01", *named]
    pieces, refused = decode(*values, *values[::-1], *[canonical] * 4)
    assert refused == []
    found = cells(pieces)
    for record in range(2 * len(values) + 4):
        for k in range(4):
            assert found[record, SLOT + k] == (2 * k, 2 * k + 1), f"record {record} differs"


@pytest.mark.parametrize("name", ["", "ab", "x" * 130])
def test_a_frame_is_judged_by_its_own_bytes(name: str) -> None:
    good = encode_block(
        samples(4), t0_us=T0_US, period_ns=PERIOD_NS, profile_revision=3, device_id=name
    )
    for at in range(len(good) if len(name) < 100 else 80):
        for change in (1, 0x80, 0x7F):
            bad = good[:at] + bytes((good[at] ^ change,)) + good[at + 1 :]
            alone, refused = decode(bad)
            among, refused_among = decode(*[good] * 6, bad)
            assert refused_among == [(6, reason) for _, reason in refused], f"byte {at}"
            expected = {} if alone is None else cells(alone)
            found = {slot: v for (record, slot), v in cells(among).items() if record == 6}
            assert found == {slot: v for (_, slot), v in expected.items()}, f"byte {at}"


def test_names_of_one_length_are_read_at_once() -> None:
    values = [
        encode_block(samples(4), t0_us=T0_US, period_ns=PERIOD_NS, sequence=1, device_id=f"d-{i}")
        for i in range(2000)
    ]
    pieces, refused = decode(*values)
    assert refused == []
    assert pieces is not None
    assert pieces.records.tolist() == list(range(2000)), "four lengths of names, one log order"


@pytest.mark.parametrize("copies", [1, 6], ids=["parsed", "sliced"])
def test_of_several_samples_in_a_slot_the_first_counts(copies: int) -> None:
    fast = block(6, period_ns=PERIOD_NS // 3)
    found = cells(decode(*[fast] * copies)[0])
    expected = {(r, SLOT + k): v for r in range(copies)
                for k, v in enumerate([(0.0, 1.0), (4.0, 5.0), (10.0, 11.0)])}  # fmt: skip
    assert found == expected, "slots are the nearest ones: samples 0-1, 2-4 and 5"


@pytest.mark.parametrize("period", [2, 3, 7], ids=["near", "near too", "longer than a frame"])
def test_a_slower_frame_leaves_slots_absent(period: int) -> None:
    pieces, _ = decode(block(4, period_ns=period * PERIOD_NS))
    found = cells(pieces)
    assert found == {(0, SLOT + period * k): (2 * k, 2 * k + 1) for k in range(4)}


def test_frames_of_several_periods_stay_in_log_order() -> None:
    values = [block(4, period_ns=PERIOD_NS * n) for n in (1, 2, 1, 9, 2)] * 3
    pieces, refused = decode(*values)
    assert refused == []
    assert pieces is not None
    assert pieces.records.tolist() == sorted(pieces.records.tolist())
    assert len(cells(pieces)) == 4 * len(values)


def test_a_partial_sample_is_absent_in_the_other_channels() -> None:
    pieces, refused = decode(telemetry(x=5), telemetry(y=6), telemetry(x=1, y=2))
    assert refused == []
    assert pieces is not None
    assert not pieces.complete
    assert str(pieces.samples.tolist()) == "[[5.0, nan], [nan, 6.0], [1.0, 2.0]]"


PERIODS = st.sampled_from([PERIOD_NS, PERIOD_NS // 2 + 1, PERIOD_NS * 2, PERIOD_NS * 3 - 1])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(-400, 400), st.integers(1, 20), PERIODS), max_size=12))
def test_each_sample_finds_the_nearest_slot(frames: list[tuple[int, int, int]]) -> None:
    values = [
        block(count, t0_us=T0_US + shift * 1000, period_ns=period)
        for shift, count, period in frames
    ]
    found = cells(decode(*values)[0]) if values else {}
    expected: dict[tuple[int, int], tuple[float, ...]] = {}
    for record, (shift, count, period) in enumerate(frames):
        for k in range(count):
            t_ns = (T0_US + shift * 1000) * 1000 + k * period
            slot = (t_ns + PERIOD_NS // 2) // PERIOD_NS
            expected.setdefault((record, slot), (2.0 * k, 2.0 * k + 1))
    assert found == expected
