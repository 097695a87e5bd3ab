"""The shapes of the API's answers, as OpenAPI shows them. Times are RFC 3339 in UTC."""

import math
from typing import Self

from pydantic import BaseModel

from fleetpulse.effects import SessionSummary
from fleetpulse.live import DeviceView
from fleetpulse.reads import DeviceRow, RollupRow, SessionRow, TopQuestion, TopRow
from serve_apps.times import rfc3339


class Live(BaseModel):
    """A device as its actor holds it now."""

    partition: int
    profile: str
    last_at: str
    last: dict[str, float | None]
    watermark: str
    window_end: str
    window: list[list[float | None]]
    """Newest samples, one list per channel."""
    score: float | None
    score_end: str | None
    threshold: float
    alert_open: bool
    alert_id: str
    alert_raised_at: str | None

    @classmethod
    def of(cls, view: DeviceView) -> Self:
        """From the actor's copy."""
        return cls(
            partition=view.partition,
            profile=view.profile,
            last_at=rfc3339(view.last_us),
            last={name: _number(v) for name, v in zip(view.channels, view.last, strict=True)},
            watermark=rfc3339(view.watermark_us),
            window_end=rfc3339(view.window_end_us),
            window=[[_number(v) for v in column] for column in view.window.T.tolist()],
            score=_number(view.score),
            score_end=None if math.isnan(view.score) else rfc3339(view.score_end_us),
            threshold=view.threshold,
            alert_open=view.alert_open,
            alert_id=view.alert_id,
            alert_raised_at=rfc3339(view.alert_raised_us) if view.alert_open else None,
        )


class Device(BaseModel):
    """A device that was heard of."""

    tenant: str
    device_id: str
    profile: str
    first_seen: str
    alert_open: bool
    online: bool
    since: str
    """When it fell silent or was heard again, by the broker's clock."""
    last_heard: str | None
    """Of an offline device."""

    @classmethod
    def of(cls, row: DeviceRow) -> Self:
        """From its row."""
        return cls(
            tenant=row.tenant,
            device_id=row.device_id,
            profile=row.profile,
            first_seen=rfc3339(row.first_seen_us),
            alert_open=row.alert_open,
            online=row.online,
            since=rfc3339(row.since_us),
            last_heard=None if row.heard_us is None else rfc3339(row.heard_us),
        )


class DevicePage(BaseModel):
    """Devices in order of id. next: hand it in as `after` for the page that follows."""

    devices: list[Device]
    next: str | None


class DeviceDetail(BaseModel):
    """A device and what its actor holds; live is null while no shard knows it."""

    device: Device
    live: Live | None


class Statistics(BaseModel):
    """Of one channel, or of the scores, within a bucket."""

    count: int
    min: float | None
    max: float | None
    mean: float | None
    std: float | None


class ScoreStatistics(Statistics):
    """Of the windows that ended in the bucket. over: scores above the threshold."""

    over: int


class Bucket(BaseModel):
    """A minute, an hour or a day."""

    at: str
    profile: str
    revision: int
    view_epoch: int
    channels: dict[str, Statistics]
    score: ScoreStatistics

    @classmethod
    def of(cls, row: RollupRow) -> Self:
        """From its row."""
        columns = zip(row.channels, row.count, row.min, row.max, row.mean, row.std, strict=False)
        return cls(
            at=rfc3339(row.bucket_us),
            profile=row.profile,
            revision=row.revision,
            view_epoch=row.view_epoch,
            channels={
                name: Statistics(
                    count=count,
                    min=_number(low),
                    max=_number(high),
                    mean=_number(mean),
                    std=_number(std),
                )
                for name, count, low, high, mean, std in columns
            },
            score=ScoreStatistics(
                count=row.score_count,
                over=row.score_over,
                min=_number(row.score_min),
                max=_number(row.score_max),
                mean=_number(row.score_mean),
                std=_number(row.score_std),
            ),
        )


class Metrics(BaseModel):
    """Buckets of a device, oldest first. next: the `from` of the page that follows."""

    device_id: str
    resolution: str
    buckets: list[Bucket]
    next: str | None


class RankedDevice(BaseModel):
    """A device's scores in a bucket. over: those above the threshold."""

    device_id: str
    profile: str
    count: int
    over: int
    max: float
    mean: float


class Ranking(BaseModel):
    """A bucket's devices, highest first."""

    at: str
    devices: list[RankedDevice]


class Top(BaseModel):
    """Rankings, oldest bucket first; buckets without scores are left out."""

    resolution: str
    by: str
    buckets: list[Ranking]

    @classmethod
    def of(cls, asked: TopQuestion, rows: list[TopRow]) -> Self:
        """From rows in their order."""
        rankings: dict[int, Ranking] = {}
        for row in rows:
            at = rankings.setdefault(row.bucket_us, Ranking(at=rfc3339(row.bucket_us), devices=[]))
            at.devices.append(
                RankedDevice(
                    device_id=row.device_id,
                    profile=row.profile,
                    count=row.score_count,
                    over=row.score_over,
                    max=row.score_max,
                    mean=row.score_mean,
                )
            )
        return cls(resolution=asked.resolution, by=asked.by, buckets=list(rankings.values()))


class Session(BaseModel):
    """A span of a device's activity; end and statistics are null while it runs."""

    session_id: str
    tenant: str
    device_id: str
    profile: str
    started_at: str
    ended_at: str | None
    channels: dict[str, Statistics] | None
    score: ScoreStatistics | None

    @classmethod
    def of(cls, row: SessionRow) -> Self:
        """From its row."""
        return cls(
            session_id=row.session_id,
            tenant=row.tenant,
            device_id=row.device_id,
            profile=row.profile,
            started_at=rfc3339(row.started_at_us),
            ended_at=None if row.ended_at_us is None else rfc3339(row.ended_at_us),
            channels=None if row.summary is None else _channels(row.summary),
            score=None if row.summary is None else _score(row.summary),
        )


class SessionPage(BaseModel):
    """Sessions, newest first. next: hand it in as `cursor` for the page that follows."""

    sessions: list[Session]
    next: str | None


def _channels(s: SessionSummary) -> dict[str, Statistics]:
    columns = zip(s.channels, s.count, s.min, s.max, s.mean, s.std, strict=True)
    return {
        name: Statistics(
            count=count, min=_number(low), max=_number(high), mean=_number(mean), std=_number(std)
        )
        for name, count, low, high, mean, std in columns
    }


def _score(s: SessionSummary) -> ScoreStatistics:
    return ScoreStatistics(
        count=s.score_count,
        over=s.score_over,
        min=_number(s.score_min),
        max=_number(s.score_max),
        mean=_number(s.score_mean),
        std=_number(s.score_std),
    )


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value
