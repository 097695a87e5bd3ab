-- Names are compared as bytes: they are identifiers, and sorting them is on the write path.

CREATE FUNCTION epoch_us(microseconds bigint) RETURNS timestamptz
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN timestamptz 'epoch' + microseconds * interval '1 microsecond';

CREATE TABLE progress (
    sink text NOT NULL,
    topic_id text NOT NULL,
    partition integer NOT NULL,
    owner_epoch bigint NOT NULL,
    next_offset bigint,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (sink, topic_id, partition)
) WITH (fillfactor = 20); -- updated many times a second: leaves room to do so within the page

CREATE TABLE profiles (
    profile text COLLATE "C" PRIMARY KEY, -- name@revision
    channels text[] NOT NULL,
    definition text NOT NULL
);

CREATE TABLE devices (
    tenant text COLLATE "C" NOT NULL,
    device_id text COLLATE "C" NOT NULL,
    profile text COLLATE "C" NOT NULL,
    first_seen timestamptz NOT NULL,
    PRIMARY KEY (tenant, device_id)
);

CREATE TABLE alerts (
    tenant text COLLATE "C" NOT NULL,
    device_id text COLLATE "C" NOT NULL,
    alert_id text COLLATE "C" NOT NULL,
    raised_at timestamptz NOT NULL,
    cleared_at timestamptz,
    window_start timestamptz NOT NULL,
    window_end timestamptz NOT NULL,
    score real NOT NULL, -- of the window that raised it
    peak_score real NOT NULL,
    threshold real NOT NULL,
    model text NOT NULL,
    profile text COLLATE "C" NOT NULL,
    view_epoch integer NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant, device_id, raised_at, alert_id)
) PARTITION BY RANGE (raised_at);

CREATE INDEX alerts_newest ON alerts (tenant, raised_at DESC, alert_id DESC);
CREATE INDEX alerts_open ON alerts (tenant, device_id) WHERE cleared_at IS NULL;

-- One row per device and bucket; arrays hold one element per channel of the profile.
CREATE TABLE rollup_minute (
    tenant text COLLATE "C" NOT NULL,
    device_id text COLLATE "C" NOT NULL,
    bucket timestamptz NOT NULL,
    profile text COLLATE "C" NOT NULL,
    revision integer NOT NULL,
    view_epoch integer NOT NULL,
    count integer[] NOT NULL,
    min float8[] NOT NULL,
    max float8[] NOT NULL,
    mean float8[] NOT NULL,
    std float8[] NOT NULL,
    score_count integer NOT NULL,
    score_over integer NOT NULL,
    score_min float8 NOT NULL,
    score_max float8 NOT NULL,
    score_mean float8 NOT NULL,
    score_std float8 NOT NULL,
    PRIMARY KEY (tenant, device_id, bucket)
) PARTITION BY RANGE (bucket);

CREATE TABLE rollup_hour (LIKE rollup_minute INCLUDING ALL) PARTITION BY RANGE (bucket);

CREATE TABLE rollup_day (LIKE rollup_minute INCLUDING ALL) PARTITION BY RANGE (bucket);
