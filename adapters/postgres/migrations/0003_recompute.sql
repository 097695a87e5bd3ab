-- What must be computed anew, and how far that is. Times of events are epoch microseconds.

CREATE TABLE recompute_jobs (
    job_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant text COLLATE "C" NOT NULL,
    device_id text COLLATE "C" NOT NULL,
    partition integer NOT NULL,
    from_us bigint NOT NULL,
    to_us bigint NOT NULL, -- exclusive
    cause text NOT NULL CHECK (cause IN ('late', 'profile', 'person')),
    state text NOT NULL DEFAULT 'marked'
        CHECK (state IN ('marked', 'computing', 'following', 'promoted', 'failed')),
    marks integer NOT NULL DEFAULT 1, -- how many it stands for
    passes integer NOT NULL DEFAULT 0, -- promotions so far
    attempts integer NOT NULL DEFAULT 0, -- failures since the last promotion
    needs_offset bigint NOT NULL DEFAULT 0, -- of the log: live must be there first
    done_until_us bigint NOT NULL DEFAULT 0, -- event time: what closed before it is promoted
    log_offset bigint NOT NULL DEFAULT 0, -- of the log, when it was computed last
    view_epoch integer, -- of the last promotion
    due_at timestamptz NOT NULL,
    lease_epoch bigint NOT NULL DEFAULT 0,
    lease_until timestamptz,
    error text NOT NULL DEFAULT '',
    marked_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    finished_at timestamptz
);

-- A device has one unfinished job; further marks widen it.
CREATE UNIQUE INDEX recompute_unfinished ON recompute_jobs (tenant, device_id)
    WHERE state IN ('marked', 'computing', 'following');
CREATE INDEX recompute_due ON recompute_jobs (due_at)
    WHERE state IN ('marked', 'computing', 'following');

CREATE TABLE recompute_marks (
    source text COLLATE "C" PRIMARY KEY,
    job_id bigint NOT NULL REFERENCES recompute_jobs ON DELETE CASCADE,
    from_us bigint NOT NULL,
    to_us bigint NOT NULL,
    cause text NOT NULL,
    marked_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX recompute_marks_of ON recompute_marks (job_id);

-- The newest view of each device that was ever promoted.
CREATE TABLE recompute_views (
    tenant text COLLATE "C" NOT NULL,
    device_id text COLLATE "C" NOT NULL,
    view_epoch integer NOT NULL,
    PRIMARY KEY (tenant, device_id)
);

-- Corrections that Kafka does not have yet, written in the promotion's transaction.
CREATE TABLE recompute_outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic text NOT NULL,
    partition integer NOT NULL,
    key bytea NOT NULL,
    value bytea NOT NULL
);

-- A bucket that is being corrected before it has ended: live's version is refused by its view
-- epoch, and nobody reads it until the recomputation has closed it.
ALTER TABLE rollup_minute ADD COLUMN withheld boolean NOT NULL DEFAULT false;
ALTER TABLE rollup_hour ADD COLUMN withheld boolean NOT NULL DEFAULT false;
ALTER TABLE rollup_day ADD COLUMN withheld boolean NOT NULL DEFAULT false;

-- A recomputation found that the alert should not have been.
ALTER TABLE alerts ADD COLUMN withdrawn boolean NOT NULL DEFAULT false;
