"""Strategies for records that nobody should send: odd, torn, extreme and hostile."""

from google.protobuf.message import Message
from hypothesis import strategies as st

from fleetpulse.identity import TICK_KEY
from fleetpulse.telemetry_pb2 import Assignment, Batch, Control, SampleBlock, Telemetry

I64 = st.one_of(
    st.sampled_from([-(1 << 63), -1, 0, 1, (1 << 63) - 1]),
    st.integers(-(1 << 63), (1 << 63) - 1),
)
U64 = st.one_of(
    st.sampled_from([0, 1, 1_000_000, (1 << 63) - 1, 1 << 63, (1 << 64) - 1]),
    st.integers(0, (1 << 64) - 1),
)
U32 = st.one_of(st.integers(0, 5), st.sampled_from([1 << 31, (1 << 32) - 1]))
TEXT = st.text(max_size=5)

keys = st.one_of(
    st.binary(max_size=12),
    st.sampled_from(
        [b"t/d", b"t/e", b"t/", b"/d", b"t/d/x", b"t/\xff", TICK_KEY, b"t/d\n", b"T/d"]
    ),
)


@st.composite
def blocks(draw: st.DrawFn, now_us: int, channels: int, period_ns: int) -> bytes:
    """A SampleBlock that is right except perhaps for a few of its fields, in any encoding."""
    count = draw(st.integers(0, 5))
    number = st.sampled_from([b"\0\0\x80?", b"\0\0\0@", b"\0\0\xc0\x7f", b"\xff\xff\x7f\x7f"])
    usual = st.sampled_from([b"\0\0\x80?"])
    block = SampleBlock(
        t0_us=now_us + draw(st.sampled_from([0, 0, -40_000, 60_000, -7_000_000_000, 10**9])),
        period_ns=draw(st.sampled_from([period_ns, period_ns, period_ns // 3 + 1, period_ns * 5])),
        profile_revision=draw(st.sampled_from([0, 0, 1, 2])),
        count=count,
        samples=b"".join(
            draw(st.lists(draw(st.sampled_from([usual, usual, number])), min_size=count * channels,
                          max_size=count * channels))
        ),
        device_id=draw(st.one_of(st.just(""), TEXT, st.sampled_from(["x" * 127, "y" * 300]))),
    )  # fmt: skip
    odd = draw(st.sampled_from(["", "", "", "t0_us", "period_ns", "count", "samples"]))
    if odd == "t0_us":
        block.t0_us = draw(I64)
    elif odd == "period_ns":
        block.period_ns = draw(U64)
    elif odd == "count":
        block.count = draw(U32)
    elif odd == "samples":
        block.samples = draw(st.binary(max_size=30))
    return draw(encodings(block))


@st.composite
def messages(draw: st.DrawFn, now_us: int, channels: tuple[str, ...]) -> bytes:
    """A Telemetry with known, unknown, missing and impossible values."""
    ts = now_us // 1000 + draw(st.sampled_from([0, 0, -40, 60, 10**6]))
    name = st.one_of(st.sampled_from(channels), st.sampled_from(channels), TEXT)
    number = st.one_of(st.sampled_from([0.0, 1.0, 3.4028235e38]), st.floats())
    message = Telemetry(
        ts=draw(st.one_of(st.just(ts), st.just(ts), I64)),
        metrics=draw(st.dictionaries(name, number, max_size=3)),
        raw=draw(st.binary(max_size=3)),
        device_id=draw(TEXT),
    )
    return draw(encodings(message))


@st.composite
def encodings(draw: st.DrawFn, message: Message) -> bytes:
    """The message's bytes as they should be, reordered, with more fields, or damaged."""
    value: bytes = message.SerializeToString()
    kind = draw(st.sampled_from(["whole"] * 6 + ["reversed", "more", "cut", "damaged"]))
    if kind == "reversed":
        fields = message.ListFields()
        parts = [type(message)(**{f.name: v}).SerializeToString() for f, v in fields[::-1]
                 if f.name != "metrics"]  # fmt: skip
        return b"".join(parts) or value
    if kind == "more":
        tail = st.sampled_from(
            [b"\x72\x01z", b"\x72\x02\xff\xfe", b"\x65\x01\0\0\0", b"\xf8\x3f\x01"]
        )
        return value + draw(tail)
    if kind == "cut":
        return value[: draw(st.integers(0, len(value)))]
    if kind == "damaged" and value:
        at = draw(st.integers(0, len(value) - 1))
        return value[:at] + draw(st.binary(min_size=1, max_size=2)) + value[at + 1 :]
    return value


def values(now_us: int, channels: tuple[str, ...], period_ns: int) -> st.SearchStrategy[bytes]:
    """Anything that may stand in the telemetry topic."""
    telemetry = messages(now_us, channels)
    in_batch = st.builds(lambda raw: Batch(telemetry=[Telemetry(raw=raw)]).SerializeToString(),
                         st.binary(max_size=3))  # fmt: skip
    block = blocks(now_us, len(channels), period_ns)
    return st.one_of(block, block, telemetry, telemetry, in_batch, st.binary(max_size=50))


def controls(profile_yaml: str) -> st.SearchStrategy[bytes]:
    """Control records, most of which cannot be used."""
    lines = profile_yaml.splitlines()
    damaged = st.integers(0, len(lines) - 1).map(lambda n: "\n".join(lines[:n] + lines[n + 1 :]))
    scalar = st.sampled_from(["!!int x", "2021-13-45", ".inf", "*a", "!!set {a}", "-1"])

    def poison(n: int, value: str) -> str:
        return "\n".join([*lines[:n], f"{lines[n].split(':')[0]}: {value}", *lines[n + 1 :]])

    poisoned = st.builds(poison, st.integers(0, len(lines) - 1), scalar)
    text = st.one_of(st.text(max_size=20), damaged, poisoned, st.just(profile_yaml))
    assignment = st.builds(
        Assignment,
        tenant=TEXT,
        device_pattern=st.sampled_from(["", "*", "[", "d", "[!"]),
        profile=st.sampled_from(["", "odd"]),
        profile_revision=U32,
    )
    usable = st.one_of(
        st.builds(Control, id=TEXT, profile_yaml=text),
        st.builds(Control, id=TEXT, assignment=assignment),
    )
    return st.one_of(st.binary(max_size=20), usable.map(Control.SerializeToString))
