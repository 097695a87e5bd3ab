"""Reads of rollups: a device over time, and the fleet's highest scores."""

from typing import Final

from psycopg.sql import SQL, Composed, Identifier

from adapters.postgres.periods import in_us
from fleetpulse.reads import Measure, Resolution, TopQuestion

_ROLLUPS: Final = SQL("""
SELECT {bucket}, profile, coalesce(p.channels, ARRAY[]::text[]) AS channels, revision, view_epoch,
    count, min, max, mean, std,
    score_count, score_over, score_min, score_max, score_mean, score_std
FROM {table} LEFT JOIN profiles p USING (profile)
WHERE tenant = %(tenant)s AND device_id = %(device_id)s
    AND bucket >= epoch_us(%(from_us)s) AND bucket < epoch_us(%(to_us)s) AND NOT withheld
ORDER BY bucket LIMIT %(limit)s
""")
# A bucket at a time: each is the beginning of an index that has them in this order.
_TOP: Final = SQL("""
SELECT asked.bucket_us, top.* FROM unnest(%(buckets_us)s::bigint[]) AS asked (bucket_us)
CROSS JOIN LATERAL (
    SELECT device_id, profile, score_count, score_over, score_max, score_mean FROM {table}
    WHERE tenant = %(tenant)s AND bucket = epoch_us(asked.bucket_us)
        AND score_count > 0 AND NOT withheld
    ORDER BY {measure} DESC, device_id LIMIT %(limit)s
) AS top
ORDER BY asked.bucket_us, top.{measure} DESC, top.device_id
""")


def rollups_query(resolution: Resolution) -> Composed:
    """Parameters: tenant, device_id, from_us, to_us, limit. Columns of a RollupRow."""
    return _ROLLUPS.format(bucket=in_us("bucket"), table=Identifier(f"rollup_{resolution}"))


def top_query(resolution: Resolution, by: Measure) -> Composed:
    """Parameters: `top_parameters`. Columns of a TopRow."""
    return _TOP.format(table=Identifier(f"rollup_{resolution}"), measure=Identifier(f"score_{by}"))


def top_parameters(asked: TopQuestion) -> dict[str, object]:
    """Of `top_query`."""
    return {"tenant": asked.tenant, "buckets_us": list(asked.buckets_us), "limit": asked.limit}
