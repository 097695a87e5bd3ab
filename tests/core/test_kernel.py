"""The compiled kernel against numpy: any log, any cuts, the same bits and the same state."""

from collections.abc import Iterator

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fleetpulse.cohort import Cohort, Conclusion
from fleetpulse.decode import Decoder
from fleetpulse.effects import F32, I64
from fleetpulse.pieces import Pieces
from fleetpulse.profile import AlertRule, Profile, RateLimit, WindowSpec, ZScoreSpec
from fleetpulse.rates import RateAccounts, burst_ns, sample_cost_ns
from fleetpulse.wire import encode_block
from tests.core.hostile import blocks
from tests.core.logs import T0_US
from tests.core.one_device import profile_of
from tests.core.plain.cohort import PlainCohort

DEVICES = 3
SPECIAL = np.array([0.0, -0.0, np.nan, 1e-45, 3.4e38, -1.0], np.float32)


@st.composite
def profiles(draw: st.DrawFn) -> Profile:
    size = draw(st.integers(1, 12))
    return profile_of(
        channels=tuple("xyz"[: draw(st.integers(1, 3))]),
        rate_hz=draw(st.sampled_from([10, 7, 1, 0.01])),
        lateness_ms=draw(st.sampled_from([0, 300, 2000])),
        block_samples_max=draw(st.sampled_from([1, 5, 10])),
        window=WindowSpec(
            size=size,
            hop=draw(st.integers(1, size)),
            coverage_min=draw(st.sampled_from([0.1, 0.5, 1.0])),
            aligned=draw(st.booleans()),
        ),
        model=draw(st.sampled_from(["any@1", None])),
        zscore=ZScoreSpec(half_life_windows=2, warmup_windows=2),
        alert=AlertRule(threshold=0.5, raise_after=2, clear_after=2, dedup_s=draw(st.just(0.5))),
    )


@st.composite
def batches(draw: st.DrawFn, profile: Profile) -> list[Pieces]:
    """Mostly orderly frames, with steps back, steps ahead, gaps and absent values."""
    heads = [draw(st.sampled_from([-7, 100, 17_500_000_000])) for _ in range(DEVICES)]
    random = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    out = []
    for _ in range(draw(st.integers(1, 6))):
        parts: list[tuple[int, int, F32]] = []
        for _ in range(draw(st.integers(1, 12))):
            row = draw(st.integers(0, DEVICES - 1))
            step = draw(
                st.sampled_from([0] * 12 + [1, 3, -1, -4, -30, 25, 60, 700]) | st.just(10**9)
            )
            count = draw(st.integers(1, profile.block_samples_max))
            samples = random.normal(size=(count, len(profile.channels))).astype(np.float32)
            if draw(st.integers(0, 3)) == 0:
                cells = random.random(samples.shape) < 0.3
                samples[cells] = random.choice(SPECIAL, int(cells.sum()))
            slot = heads[row] + step
            heads[row] = max(heads[row], slot + count)
            parts.append((row, slot, samples))
        out.append(pieces_of(parts))
    return out


def pieces_of(parts: list[tuple[int, int, F32]]) -> Pieces:
    counts = np.array([len(samples) for *_, samples in parts])
    samples = np.concatenate([samples for *_, samples in parts])
    return Pieces(
        np.array([row for row, *_ in parts]),
        np.array([slot for _, slot, _ in parts]),
        counts,
        np.cumsum(counts) - counts,
        np.arange(len(parts)),
        samples,
        not bool(np.isnan(samples).any()),
    )


@given(st.data())
def test_the_kernel_is_what_numpy_says(data: st.DataObject) -> None:
    profile = data.draw(profiles())
    kernel, plain = Cohort(profile), PlainCohort(profile)
    rows = [[c.add(b"t/%d" % n, 0) for n in range(DEVICES)] for c in (kernel, plain)]
    assert rows[0] == rows[1]
    for pieces in data.draw(batches(profile)):
        late = [sorted(set(cohort.absorb(pieces).tolist())) for cohort in (kernel, plain)]
        assert late[0] == late[1], "other records came late"
        if data.draw(st.booleans()):
            assert concluded(kernel) == concluded(plain)
            assert state(kernel, rows[0]) == state(plain, rows[0])


def concluded(cohort: Cohort) -> dict[str, list[bytes]]:
    """Everything that closed, in each device's order."""
    windows = cohort.closed_windows()
    if cohort.zscores is not None:
        scores = cohort.zscores.score(windows.rows, windows.samples)
    else:
        scores = np.abs(windows.samples).max(axis=(1, 2), initial=0)
    conclusion = cohort.conclude(windows, scores)
    return {
        "windows": in_row_order(windows.rows, windows.ends, windows.samples, scores),
        "alerts": [repr(t).encode() for t in sorted(conclusion.transitions, key=lambda t: t.row)],
        **{name: list(columns) for name, columns in bucket_rows(conclusion)},
    }


def bucket_rows(conclusion: Conclusion) -> Iterator[tuple[str, list[bytes]]]:
    for level in ("second", "minute", "hour", "day"):
        buckets = conclusion.rollups.get(level)
        if buckets is None:
            yield level, []
            continue
        s = buckets.stats
        columns = [buckets.index, s.count, s.min, s.max, s.mean, s.m2, buckets.over]
        yield level, in_row_order(buckets.rows, *columns)


def in_row_order(rows: np.ndarray, *columns: np.ndarray) -> list[bytes]:
    order = np.argsort(rows, kind="stable").tolist()
    return [b"".join(bytes(column[at].tobytes()) for column in (rows, *columns)) for at in order]


def state(cohort: Cohort, rows: list[int]) -> dict[str, bytes]:
    """All columns but `last_missing`, which is a bound and may be any that holds."""
    found = cohort.export(np.array(rows))
    return {name: v.tobytes() for name, v in found.items() if name != "rings.last_missing"}


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 40), st.integers(0, 3_000_000))))
def test_accounts_are_charged_record_by_record(records: list[tuple[int, int, int]]) -> None:
    profile, limit = profile_of(), RateLimit(factor=1, burst_s=2)
    accounts, paid = RateAccounts(profile, limit), [0, 0, 0]
    accounts.grow(3)
    cost, burst = sample_cost_ns(profile, limit), burst_ns(profile, limit)
    now_us, expected, times = 10**15, [], []
    for row, count, step_us in records:
        now_us += step_us
        after = max(paid[row], now_us * 1000) + count * cost
        expected.append(after - now_us * 1000 > burst)
        paid[row] = paid[row] if expected[-1] else after
        times.append(now_us)
    given_us = np.array(times, np.int64)
    rows, counts = (np.array([r[at] for r in records], np.int64) for at in (0, 1))
    refused = accounts.refused(rows, counts, given_us)
    assert refused.tolist() == expected
    assert all(a == b for a, b in zip(accounts.paid_ns.tolist(), paid, strict=True) if b)


class _ParserOnly(Decoder):
    """Leaves nothing to the kernel."""

    def _sliced(self, values: list[bytes], log_time_us: I64) -> tuple[Pieces, I64]:
        nothing, _ = super()._sliced([], log_time_us[:0])
        return nothing, np.arange(len(values))


@given(st.data())
def test_what_the_kernel_takes_the_parser_takes_alike(data: st.DataObject) -> None:
    profile = profile_of(channels=("x", "y"), block_samples_max=4, past_bound_s=60)
    usual = encode_block(np.ones((2, 2), np.float32), t0_us=T0_US, period_ns=profile.period_ns)
    torn = st.builds(
        lambda at, byte: usual[:at] + bytes((byte,)) + usual[at + 1 :],
        st.integers(0, len(usual) - 1),
        st.integers(0, 255),
    )
    anything = st.one_of(st.just(usual), torn, blocks(T0_US, 2, profile.period_ns))
    values = data.draw(st.lists(anything, min_size=1, max_size=8))
    answers = []
    for decoder in (Decoder(profile), _ParserOnly(profile)):
        n = len(values)
        pieces, refusals = decoder.decode(np.arange(n), values, np.full(n, T0_US))
        answers.append((described(pieces), refusals))
    assert answers[0] == answers[1]


def described(pieces: Pieces | None) -> list[tuple[int, int, int, bytes]]:
    """Record, slot, count and samples of each piece."""
    if pieces is None:
        return []
    columns = (pieces.records, pieces.slots, pieces.counts, pieces.sources)
    return [
        (record, slot, count, pieces.samples[source : source + count].tobytes())
        for record, slot, count, source in zip(*(c.tolist() for c in columns), strict=True)
    ]
