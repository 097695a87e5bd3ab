from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Telemetry(_message.Message):
    __slots__ = ("device_id", "ts", "metrics", "raw")
    class MetricsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    TS_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    RAW_FIELD_NUMBER: _ClassVar[int]
    device_id: str
    ts: int
    metrics: _containers.ScalarMap[str, float]
    raw: bytes
    def __init__(self, device_id: _Optional[str] = ..., ts: _Optional[int] = ..., metrics: _Optional[_Mapping[str, float]] = ..., raw: _Optional[bytes] = ...) -> None: ...

class SampleBlock(_message.Message):
    __slots__ = ("t0_us", "period_ns", "sequence", "profile_revision", "count", "samples", "device_id")
    T0_US_FIELD_NUMBER: _ClassVar[int]
    PERIOD_NS_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    PROFILE_REVISION_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    t0_us: int
    period_ns: int
    sequence: int
    profile_revision: int
    count: int
    samples: bytes
    device_id: str
    def __init__(self, t0_us: _Optional[int] = ..., period_ns: _Optional[int] = ..., sequence: _Optional[int] = ..., profile_revision: _Optional[int] = ..., count: _Optional[int] = ..., samples: _Optional[bytes] = ..., device_id: _Optional[str] = ...) -> None: ...

class Batch(_message.Message):
    __slots__ = ("telemetry", "blocks")
    TELEMETRY_FIELD_NUMBER: _ClassVar[int]
    BLOCKS_FIELD_NUMBER: _ClassVar[int]
    telemetry: _containers.RepeatedCompositeFieldContainer[Telemetry]
    blocks: _containers.RepeatedCompositeFieldContainer[SampleBlock]
    def __init__(self, telemetry: _Optional[_Iterable[_Union[Telemetry, _Mapping]]] = ..., blocks: _Optional[_Iterable[_Union[SampleBlock, _Mapping]]] = ...) -> None: ...

class Tick(_message.Message):
    __slots__ = ("node_id",)
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    def __init__(self, node_id: _Optional[str] = ...) -> None: ...

class Control(_message.Message):
    __slots__ = ("id", "profile_yaml", "assignment")
    ID_FIELD_NUMBER: _ClassVar[int]
    PROFILE_YAML_FIELD_NUMBER: _ClassVar[int]
    ASSIGNMENT_FIELD_NUMBER: _ClassVar[int]
    id: str
    profile_yaml: str
    assignment: Assignment
    def __init__(self, id: _Optional[str] = ..., profile_yaml: _Optional[str] = ..., assignment: _Optional[_Union[Assignment, _Mapping]] = ...) -> None: ...

class Assignment(_message.Message):
    __slots__ = ("tenant", "device_pattern", "profile", "profile_revision")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    DEVICE_PATTERN_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    PROFILE_REVISION_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    device_pattern: str
    profile: str
    profile_revision: int
    def __init__(self, tenant: _Optional[str] = ..., device_pattern: _Optional[str] = ..., profile: _Optional[str] = ..., profile_revision: _Optional[int] = ...) -> None: ...

class Score(_message.Message):
    __slots__ = ("window_start_us", "window_end_us", "score", "threshold", "view_epoch", "model")
    WINDOW_START_US_FIELD_NUMBER: _ClassVar[int]
    WINDOW_END_US_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    VIEW_EPOCH_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    window_start_us: int
    window_end_us: int
    score: float
    threshold: float
    view_epoch: int
    model: str
    def __init__(self, window_start_us: _Optional[int] = ..., window_end_us: _Optional[int] = ..., score: _Optional[float] = ..., threshold: _Optional[float] = ..., view_epoch: _Optional[int] = ..., model: _Optional[str] = ...) -> None: ...

class Rollup(_message.Message):
    __slots__ = ("bucket_us", "resolution_s", "revision", "view_epoch", "count", "min", "max", "mean", "std", "score_count", "score_over", "score_min", "score_max", "score_mean", "score_std", "profile")
    BUCKET_US_FIELD_NUMBER: _ClassVar[int]
    RESOLUTION_S_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    VIEW_EPOCH_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    MIN_FIELD_NUMBER: _ClassVar[int]
    MAX_FIELD_NUMBER: _ClassVar[int]
    MEAN_FIELD_NUMBER: _ClassVar[int]
    STD_FIELD_NUMBER: _ClassVar[int]
    SCORE_COUNT_FIELD_NUMBER: _ClassVar[int]
    SCORE_OVER_FIELD_NUMBER: _ClassVar[int]
    SCORE_MIN_FIELD_NUMBER: _ClassVar[int]
    SCORE_MAX_FIELD_NUMBER: _ClassVar[int]
    SCORE_MEAN_FIELD_NUMBER: _ClassVar[int]
    SCORE_STD_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    bucket_us: int
    resolution_s: int
    revision: int
    view_epoch: int
    count: bytes
    min: bytes
    max: bytes
    mean: bytes
    std: bytes
    score_count: int
    score_over: int
    score_min: float
    score_max: float
    score_mean: float
    score_std: float
    profile: str
    def __init__(self, bucket_us: _Optional[int] = ..., resolution_s: _Optional[int] = ..., revision: _Optional[int] = ..., view_epoch: _Optional[int] = ..., count: _Optional[bytes] = ..., min: _Optional[bytes] = ..., max: _Optional[bytes] = ..., mean: _Optional[bytes] = ..., std: _Optional[bytes] = ..., score_count: _Optional[int] = ..., score_over: _Optional[int] = ..., score_min: _Optional[float] = ..., score_max: _Optional[float] = ..., score_mean: _Optional[float] = ..., score_std: _Optional[float] = ..., profile: _Optional[str] = ...) -> None: ...

class Alert(_message.Message):
    __slots__ = ("alert_id", "tenant", "device_id", "kind", "at_us", "raised_at_us", "window_start_us", "window_end_us", "score", "peak_score", "threshold", "model", "profile", "view_epoch")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[Alert.Kind]
        RAISED: _ClassVar[Alert.Kind]
        CLEARED: _ClassVar[Alert.Kind]
    KIND_UNSPECIFIED: Alert.Kind
    RAISED: Alert.Kind
    CLEARED: Alert.Kind
    ALERT_ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    AT_US_FIELD_NUMBER: _ClassVar[int]
    RAISED_AT_US_FIELD_NUMBER: _ClassVar[int]
    WINDOW_START_US_FIELD_NUMBER: _ClassVar[int]
    WINDOW_END_US_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    PEAK_SCORE_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    VIEW_EPOCH_FIELD_NUMBER: _ClassVar[int]
    alert_id: str
    tenant: str
    device_id: str
    kind: Alert.Kind
    at_us: int
    raised_at_us: int
    window_start_us: int
    window_end_us: int
    score: float
    peak_score: float
    threshold: float
    model: str
    profile: str
    view_epoch: int
    def __init__(self, alert_id: _Optional[str] = ..., tenant: _Optional[str] = ..., device_id: _Optional[str] = ..., kind: _Optional[_Union[Alert.Kind, str]] = ..., at_us: _Optional[int] = ..., raised_at_us: _Optional[int] = ..., window_start_us: _Optional[int] = ..., window_end_us: _Optional[int] = ..., score: _Optional[float] = ..., peak_score: _Optional[float] = ..., threshold: _Optional[float] = ..., model: _Optional[str] = ..., profile: _Optional[str] = ..., view_epoch: _Optional[int] = ...) -> None: ...

class Rejected(_message.Message):
    __slots__ = ("partition", "offset", "log_time_us", "key", "value", "reason", "detail", "first_us", "last_us")
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    LOG_TIME_US_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    FIRST_US_FIELD_NUMBER: _ClassVar[int]
    LAST_US_FIELD_NUMBER: _ClassVar[int]
    partition: int
    offset: int
    log_time_us: int
    key: bytes
    value: bytes
    reason: str
    detail: str
    first_us: int
    last_us: int
    def __init__(self, partition: _Optional[int] = ..., offset: _Optional[int] = ..., log_time_us: _Optional[int] = ..., key: _Optional[bytes] = ..., value: _Optional[bytes] = ..., reason: _Optional[str] = ..., detail: _Optional[str] = ..., first_us: _Optional[int] = ..., last_us: _Optional[int] = ...) -> None: ...
