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
    __slots__ = ("id", "profile_yaml", "assignment", "pause", "forget", "savepoint", "result_version")
    ID_FIELD_NUMBER: _ClassVar[int]
    PROFILE_YAML_FIELD_NUMBER: _ClassVar[int]
    ASSIGNMENT_FIELD_NUMBER: _ClassVar[int]
    PAUSE_FIELD_NUMBER: _ClassVar[int]
    FORGET_FIELD_NUMBER: _ClassVar[int]
    SAVEPOINT_FIELD_NUMBER: _ClassVar[int]
    RESULT_VERSION_FIELD_NUMBER: _ClassVar[int]
    id: str
    profile_yaml: str
    assignment: Assignment
    pause: Pause
    forget: Forget
    savepoint: Savepoint
    result_version: ResultVersion
    def __init__(self, id: _Optional[str] = ..., profile_yaml: _Optional[str] = ..., assignment: _Optional[_Union[Assignment, _Mapping]] = ..., pause: _Optional[_Union[Pause, _Mapping]] = ..., forget: _Optional[_Union[Forget, _Mapping]] = ..., savepoint: _Optional[_Union[Savepoint, _Mapping]] = ..., result_version: _Optional[_Union[ResultVersion, _Mapping]] = ...) -> None: ...

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

class Pause(_message.Message):
    __slots__ = ("tenant", "device_pattern", "paused")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    DEVICE_PATTERN_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    device_pattern: str
    paused: bool
    def __init__(self, tenant: _Optional[str] = ..., device_pattern: _Optional[str] = ..., paused: _Optional[bool] = ...) -> None: ...

class Forget(_message.Message):
    __slots__ = ("tenant", "device_id")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    device_id: str
    def __init__(self, tenant: _Optional[str] = ..., device_id: _Optional[str] = ...) -> None: ...

class Savepoint(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ResultVersion(_message.Message):
    __slots__ = ("version",)
    VERSION_FIELD_NUMBER: _ClassVar[int]
    version: int
    def __init__(self, version: _Optional[int] = ...) -> None: ...

class Tombstone(_message.Message):
    __slots__ = ("partition", "offset", "log_time_us")
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    LOG_TIME_US_FIELD_NUMBER: _ClassVar[int]
    partition: int
    offset: int
    log_time_us: int
    def __init__(self, partition: _Optional[int] = ..., offset: _Optional[int] = ..., log_time_us: _Optional[int] = ...) -> None: ...

class Score(_message.Message):
    __slots__ = ("window_start_us", "window_end_us", "score", "threshold", "view_epoch", "model", "supersedes")
    WINDOW_START_US_FIELD_NUMBER: _ClassVar[int]
    WINDOW_END_US_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    VIEW_EPOCH_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    SUPERSEDES_FIELD_NUMBER: _ClassVar[int]
    window_start_us: int
    window_end_us: int
    score: float
    threshold: float
    view_epoch: int
    model: str
    supersedes: int
    def __init__(self, window_start_us: _Optional[int] = ..., window_end_us: _Optional[int] = ..., score: _Optional[float] = ..., threshold: _Optional[float] = ..., view_epoch: _Optional[int] = ..., model: _Optional[str] = ..., supersedes: _Optional[int] = ...) -> None: ...

class Rollup(_message.Message):
    __slots__ = ("bucket_us", "resolution_s", "revision", "view_epoch", "count", "min", "max", "mean", "std", "score_count", "score_over", "score_min", "score_max", "score_mean", "score_std", "profile", "supersedes")
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
    SUPERSEDES_FIELD_NUMBER: _ClassVar[int]
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
    supersedes: int
    def __init__(self, bucket_us: _Optional[int] = ..., resolution_s: _Optional[int] = ..., revision: _Optional[int] = ..., view_epoch: _Optional[int] = ..., count: _Optional[bytes] = ..., min: _Optional[bytes] = ..., max: _Optional[bytes] = ..., mean: _Optional[bytes] = ..., std: _Optional[bytes] = ..., score_count: _Optional[int] = ..., score_over: _Optional[int] = ..., score_min: _Optional[float] = ..., score_max: _Optional[float] = ..., score_mean: _Optional[float] = ..., score_std: _Optional[float] = ..., profile: _Optional[str] = ..., supersedes: _Optional[int] = ...) -> None: ...

class Alert(_message.Message):
    __slots__ = ("alert_id", "tenant", "device_id", "kind", "at_us", "raised_at_us", "window_start_us", "window_end_us", "score", "peak_score", "threshold", "model", "profile", "view_epoch", "supersedes")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[Alert.Kind]
        RAISED: _ClassVar[Alert.Kind]
        CLEARED: _ClassVar[Alert.Kind]
        WITHDRAWN: _ClassVar[Alert.Kind]
    KIND_UNSPECIFIED: Alert.Kind
    RAISED: Alert.Kind
    CLEARED: Alert.Kind
    WITHDRAWN: Alert.Kind
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
    SUPERSEDES_FIELD_NUMBER: _ClassVar[int]
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
    supersedes: int
    def __init__(self, alert_id: _Optional[str] = ..., tenant: _Optional[str] = ..., device_id: _Optional[str] = ..., kind: _Optional[_Union[Alert.Kind, str]] = ..., at_us: _Optional[int] = ..., raised_at_us: _Optional[int] = ..., window_start_us: _Optional[int] = ..., window_end_us: _Optional[int] = ..., score: _Optional[float] = ..., peak_score: _Optional[float] = ..., threshold: _Optional[float] = ..., model: _Optional[str] = ..., profile: _Optional[str] = ..., view_epoch: _Optional[int] = ..., supersedes: _Optional[int] = ...) -> None: ...

class DeviceEvent(_message.Message):
    __slots__ = ("tenant", "device_id", "kind", "at_us", "heard_us", "session", "view_epoch", "supersedes")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[DeviceEvent.Kind]
        OFFLINE: _ClassVar[DeviceEvent.Kind]
        ONLINE: _ClassVar[DeviceEvent.Kind]
        SESSION_STARTED: _ClassVar[DeviceEvent.Kind]
        SESSION_ENDED: _ClassVar[DeviceEvent.Kind]
        SESSION_WITHDRAWN: _ClassVar[DeviceEvent.Kind]
    KIND_UNSPECIFIED: DeviceEvent.Kind
    OFFLINE: DeviceEvent.Kind
    ONLINE: DeviceEvent.Kind
    SESSION_STARTED: DeviceEvent.Kind
    SESSION_ENDED: DeviceEvent.Kind
    SESSION_WITHDRAWN: DeviceEvent.Kind
    TENANT_FIELD_NUMBER: _ClassVar[int]
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    AT_US_FIELD_NUMBER: _ClassVar[int]
    HEARD_US_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    VIEW_EPOCH_FIELD_NUMBER: _ClassVar[int]
    SUPERSEDES_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    device_id: str
    kind: DeviceEvent.Kind
    at_us: int
    heard_us: int
    session: Session
    view_epoch: int
    supersedes: int
    def __init__(self, tenant: _Optional[str] = ..., device_id: _Optional[str] = ..., kind: _Optional[_Union[DeviceEvent.Kind, str]] = ..., at_us: _Optional[int] = ..., heard_us: _Optional[int] = ..., session: _Optional[_Union[Session, _Mapping]] = ..., view_epoch: _Optional[int] = ..., supersedes: _Optional[int] = ...) -> None: ...

class Session(_message.Message):
    __slots__ = ("session_id", "profile", "started_at_us", "ended_at_us", "channels", "scores", "scores_over")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_US_FIELD_NUMBER: _ClassVar[int]
    ENDED_AT_US_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    SCORES_OVER_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    profile: str
    started_at_us: int
    ended_at_us: int
    channels: _containers.RepeatedCompositeFieldContainer[SessionStatistics]
    scores: SessionStatistics
    scores_over: int
    def __init__(self, session_id: _Optional[str] = ..., profile: _Optional[str] = ..., started_at_us: _Optional[int] = ..., ended_at_us: _Optional[int] = ..., channels: _Optional[_Iterable[_Union[SessionStatistics, _Mapping]]] = ..., scores: _Optional[_Union[SessionStatistics, _Mapping]] = ..., scores_over: _Optional[int] = ...) -> None: ...

class SessionStatistics(_message.Message):
    __slots__ = ("count", "min", "max", "mean", "std")
    COUNT_FIELD_NUMBER: _ClassVar[int]
    MIN_FIELD_NUMBER: _ClassVar[int]
    MAX_FIELD_NUMBER: _ClassVar[int]
    MEAN_FIELD_NUMBER: _ClassVar[int]
    STD_FIELD_NUMBER: _ClassVar[int]
    count: int
    min: float
    max: float
    mean: float
    std: float
    def __init__(self, count: _Optional[int] = ..., min: _Optional[float] = ..., max: _Optional[float] = ..., mean: _Optional[float] = ..., std: _Optional[float] = ...) -> None: ...

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
