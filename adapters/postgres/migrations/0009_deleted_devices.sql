-- The newest deletion of the device: of which telemetry topic, and the offset behind it. What was
-- computed of less of that topic holds the device that was deleted. view_epoch is 0 from then on.
ALTER TABLE recompute_views ADD COLUMN deleted_topic_id text NOT NULL DEFAULT '';
ALTER TABLE recompute_views ADD COLUMN deleted_until bigint NOT NULL DEFAULT 0;
ALTER TABLE recompute_views ADD COLUMN deleted_at timestamptz;
