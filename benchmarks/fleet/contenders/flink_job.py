"""PyFlink DataStream: a keyed process function with a value state, in an embedded cluster.

The source is the SQL connector, because that of the DataStream API does not give the key.
"""

import os
import site
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from pyflink.common import Configuration, Row, Types
from pyflink.common.serialization import RowFieldExtractorSchema
from pyflink.datastream import KeyedProcessFunction, OutputTag, StreamExecutionEnvironment
from pyflink.datastream.connectors.kafka import (
    DeliveryGuarantee,
    KafkaRecordSerializationSchema,
    KafkaSink,
)
from pyflink.datastream.state import ValueStateDescriptor
from pyflink.table import StreamTableEnvironment

from benchmarks.fleet.contenders.device import Device
from benchmarks.fleet.contenders.runtime import PLAN, Model, note_first, packed_score

_BYTES: Final = Types.PRIMITIVE_ARRAY(Types.BYTE())
_RECORD: Final = Types.ROW([_BYTES, _BYTES])
_SCORES: Final = OutputTag("scores", _RECORD)
_OPTIONS: Final = {
    "python.execution-mode": os.environ["FLINK_MODE"],
    "parallelism.default": "1",
    "python.state.cache-size": "10000",
    "pipeline.object-reuse": "true",
    "execution.checkpointing.interval": "5 s",
    "execution.checkpointing.mode": "AT_LEAST_ONCE",
    "execution.checkpointing.dir": Path(PLAN.folder, "checkpoints").as_uri(),
    "execution.buffer-timeout.interval": "10 ms",
    "state.backend.type": "hashmap",
    "taskmanager.memory.network.min": "64mb",
    "taskmanager.memory.network.max": "64mb",
    "taskmanager.memory.managed.size": "256mb",
}


class DeviceFunction(KeyedProcessFunction):
    """A device's state is pickled for each record: Flink keeps bytes."""

    def open(self, runtime_context: Any) -> None:
        """In the worker."""
        description = ValueStateDescriptor("device", Types.PICKLED_BYTE_ARRAY())
        self._state = runtime_context.get_state(description)
        self._model = Model()

    def process_element(self, value: Any, ctx: Any) -> Iterator[Any]:
        """One record: its seconds to the main output, its scores to the other."""
        note_first()
        key = ctx.get_current_key().encode()
        device = self._state.value() or Device(key)
        seconds, windows = device.add(bytes(value[1]))
        self._state.update(device)
        for second in seconds:
            yield Row(key, second)
        for start_us, samples in windows:
            yield _SCORES, Row(key, packed_score(start_us, self._model.score(samples)))


def _sink(topic: str) -> Any:
    record = (
        KafkaRecordSerializationSchema.builder()
        .set_topic(topic)
        .set_key_serialization_schema(RowFieldExtractorSchema(0))
        .set_value_serialization_schema(RowFieldExtractorSchema(1))
        .build()
    )
    return (
        KafkaSink.builder()
        .set_bootstrap_servers(PLAN.bootstrap)
        .set_record_serializer(record)
        .set_delivery_guarantee(DeliveryGuarantee.AT_LEAST_ONCE)
        .set_property("compression.type", "lz4")
        .set_property("linger.ms", "5")
        .build()
    )


def _configuration() -> Any:
    options = _OPTIONS | {
        "pipeline.jars": ";".join(jar.as_uri() for jar in Path(sys.prefix, "jars").glob("*.jar")),
        "python.executable": sys.executable,
        "python.client.executable": sys.executable,
        "python.pythonpath": os.pathsep.join([os.environ["PYTHONPATH"], site.getsitepackages()[0]]),
    }
    configuration = Configuration()
    for name, value in options.items():
        configuration.set_string(name, value)
    return configuration


def main() -> None:
    """Until a signal."""
    environment = StreamExecutionEnvironment.get_execution_environment(_configuration())
    tables = StreamTableEnvironment.create(environment)
    tables.execute_sql(
        f"""CREATE TABLE frames (k STRING, v BYTES) WITH (
            'connector' = 'kafka', 'topic' = '{PLAN.input}',
            'properties.bootstrap.servers' = '{PLAN.bootstrap}',
            'properties.group.id' = '{PLAN.group}', 'scan.startup.mode' = 'earliest-offset',
            'key.format' = 'raw', 'key.fields' = 'k', 'value.format' = 'raw',
            'value.fields-include' = 'EXCEPT_KEY')"""
    )
    frames = tables.to_data_stream(tables.from_path("frames"))
    keyed = frames.key_by(lambda row: row[0], key_type=Types.STRING())
    results = keyed.process(DeviceFunction(), output_type=_RECORD)
    results.sink_to(_sink(PLAN.seconds))
    results.get_side_output(_SCORES).sink_to(_sink(PLAN.scores))
    environment.execute("fleet")


if __name__ == "__main__":
    main()
