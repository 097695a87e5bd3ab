-- The telemetry topic that a job's offsets are of; empty while it has none.
ALTER TABLE recompute_jobs ADD COLUMN topic_id text NOT NULL DEFAULT '';
