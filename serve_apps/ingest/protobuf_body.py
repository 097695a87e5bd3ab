"""Protobuf bodies: Telemetry, SampleBlock or a Batch of both. Values go to Kafka as they came."""

from fleetpulse.errors import InputError
from fleetpulse.wire import batch_parts, decode_block, decode_telemetry, kind_of
from serve_apps.ingest.records import Record, Request


def records_of_protobuf(body: bytes, request: Request) -> list[Record]:
    """All records, or InputError naming field and index."""
    if kind_of(body) != "batch":
        return [_record(body, request)]
    records = []
    for index, part in enumerate(batch_parts(body)):
        try:
            records.append(_record(part, request))
        except InputError as error:
            error.index = index
            raise
    return records


def _record(value: bytes, request: Request) -> Record:
    kind = kind_of(value)
    if kind == "block":
        return request.frame(decode_block(value), value)
    if kind == "telemetry":
        sample = decode_telemetry(value)
        return request.sample(sample.device_id, sample.ts, dict(sample.metrics), value)
    raise InputError("body", "has a Batch within a Batch", status=400)
