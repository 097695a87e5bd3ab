-- The highest scores of an hour or a day, by each of three measures.
CREATE INDEX rollup_hour_by_max ON rollup_hour (tenant, bucket, score_max DESC, device_id)
    WHERE score_count > 0 AND NOT withheld;
CREATE INDEX rollup_hour_by_mean ON rollup_hour (tenant, bucket, score_mean DESC, device_id)
    WHERE score_count > 0 AND NOT withheld;
CREATE INDEX rollup_hour_by_over ON rollup_hour (tenant, bucket, score_over DESC, device_id)
    WHERE score_count > 0 AND NOT withheld;
CREATE INDEX rollup_day_by_max ON rollup_day (tenant, bucket, score_max DESC, device_id)
    WHERE score_count > 0 AND NOT withheld;
CREATE INDEX rollup_day_by_mean ON rollup_day (tenant, bucket, score_mean DESC, device_id)
    WHERE score_count > 0 AND NOT withheld;
CREATE INDEX rollup_day_by_over ON rollup_day (tenant, bucket, score_over DESC, device_id)
    WHERE score_count > 0 AND NOT withheld;
