"""JSON bodies: one sample or a list of samples.

The fast way is one typed decode. Only a body that it refuses is read a second time, loosely, to
name the field that is wrong.
"""

import json
import math
from collections.abc import Iterator
from typing import Any, Never

import msgspec

from fleetpulse.errors import InputError
from serve_apps.ingest.records import Record, Request
from serve_apps.times import epoch_ms


class _Sample(msgspec.Struct, forbid_unknown_fields=True):
    device_id: str
    ts: int | float | str
    metrics: dict[str, float]


decode_samples = msgspec.json.Decoder(_Sample | list[_Sample]).decode


def records_of_json(body: bytes, request: Request) -> list[Record]:
    """All records, or InputError naming field and index."""
    try:
        decoded = decode_samples(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        explain(body, error)
    if isinstance(decoded, _Sample):
        return [_record(decoded, request)]
    if not decoded:
        raise InputError("body", "holds no sample")
    records = []
    for index, sample in enumerate(decoded):
        try:
            records.append(_record(sample, request))
        except InputError as error:
            error.index = index
            raise
    return records


def _record(sample: _Sample, request: Request) -> Record:
    return request.sample(sample.device_id, epoch_ms("ts", sample.ts), sample.metrics)


def explain(body: bytes, cause: Exception) -> Never:
    """Raise the InputError that says best why `body` was refused."""
    try:
        loose = json.loads(body)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise InputError(
            "body", f"is not valid JSON: {error.msg} at {where}", status=400
        ) from cause
    except (UnicodeDecodeError, RecursionError, ValueError) as error:
        raise InputError("body", f"is not valid JSON: {cause}", status=400) from error
    samples = loose if isinstance(loose, list) else [loose]
    for index, sample in enumerate(samples):
        for field, reason in _faults(sample):
            raise InputError(
                field, reason, index=index if isinstance(loose, list) else None
            ) from cause
    raise InputError("body", f"is refused: {cause}") from cause


def _faults(sample: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(sample, dict):
        yield "body", "must be an object or a list of objects"
        return
    for name in sorted(sample.keys() - {"device_id", "ts", "metrics"}):
        yield name, "is not a field of a sample"
    for name, kinds, what in (
        ("device_id", (str,), "text"),
        ("ts", (int, float, str), "epoch milliseconds or RFC 3339 text"),
        ("metrics", (dict,), "an object of channel names and numbers"),
    ):
        if name not in sample:
            yield name, "is missing"
        elif not isinstance(sample[name], kinds) or isinstance(sample[name], bool):
            yield name, f"must be {what}"
    yield from _not_finite(sample)


def _not_finite(sample: dict[str, Any]) -> Iterator[tuple[str, str]]:
    ts = sample["ts"]
    if isinstance(ts, float) and not math.isfinite(ts):
        yield "ts", "must be a finite number"
    for name, value in sample["metrics"].items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            yield f"metrics.{name}", "must be a number"
        elif isinstance(value, float) and not math.isfinite(value):
            yield f"metrics.{name}", "must be a finite number"
        elif isinstance(value, int) and value.bit_length() > 1023:
            yield f"metrics.{name}", "must be a finite number within float32"
