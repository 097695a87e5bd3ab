-- Operational, not a result: shards own these partitions and do not fetch them.
CREATE TABLE partition_pauses (
    partition integer PRIMARY KEY,
    paused_by text NOT NULL,
    paused_at timestamptz NOT NULL DEFAULT now()
);
