-- When an alert's row was first committed: whether that was in time to call a person. Unknown
-- (null) of the rows that were there before.
ALTER TABLE alerts ADD COLUMN committed_at timestamptz;
ALTER TABLE alerts ALTER COLUMN committed_at SET DEFAULT now();
