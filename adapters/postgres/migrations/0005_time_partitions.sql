-- Partitions by time: what each holds, and since when it is there. A row outlives the moment in
-- which its partition is detached, so that a removal that was interrupted can be finished.
CREATE TABLE time_partitions (
    name text COLLATE "C" PRIMARY KEY,
    parent text COLLATE "C" NOT NULL,
    starts timestamptz NOT NULL,
    ends timestamptz NOT NULL, -- exclusive
    made_at timestamptz NOT NULL DEFAULT now()
);

INSERT INTO time_partitions (name, parent, starts, ends)
SELECT child.relname, parent.relname, bound[1]::timestamptz, bound[2]::timestamptz
FROM pg_inherits
    JOIN pg_class AS child ON child.oid = inhrelid
    JOIN pg_class AS parent ON parent.oid = inhparent AND parent.relkind = 'p',
    regexp_match(pg_get_expr(child.relpartbound, child.oid),
        $$FROM \('([^']+)'\) TO \('([^']+)'\)$$) AS bound
WHERE parent.relname
    IN ('rollup_minute', 'rollup_hour', 'rollup_day', 'alerts', 'sessions');
