-- Whether a device is heard, since when (null: since first_seen), and when it was last heard
-- before it fell silent (null while it is online).
ALTER TABLE devices
    ADD COLUMN online boolean NOT NULL DEFAULT true,
    ADD COLUMN since timestamptz,
    ADD COLUMN heard_at timestamptz;

-- What follows profile is null while the session is open. Arrays hold one element per channel.
CREATE TABLE sessions (
    tenant text COLLATE "C" NOT NULL,
    device_id text COLLATE "C" NOT NULL,
    session_id text COLLATE "C" NOT NULL,
    started_at timestamptz NOT NULL,
    profile text COLLATE "C" NOT NULL,
    ended_at timestamptz,
    channels text[],
    count bigint[],
    min float8[],
    max float8[],
    mean float8[],
    std float8[],
    score_count bigint,
    score_over bigint,
    score_min float8,
    score_max float8,
    score_mean float8,
    score_std float8,
    view_epoch integer NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant, device_id, started_at, session_id)
) PARTITION BY RANGE (started_at);

CREATE INDEX sessions_newest ON sessions (tenant, started_at DESC, session_id DESC);
CREATE INDEX sessions_named ON sessions (session_id);
CREATE INDEX sessions_open ON sessions (tenant, device_id) WHERE ended_at IS NULL;
