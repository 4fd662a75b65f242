-- Times are milliseconds since 1970 in UTC. Hashes are keyed with the secret in meta.

CREATE TABLE meta (
    key TEXT NOT NULL PRIMARY KEY,
    value NOT NULL
) WITHOUT ROWID;

CREATE TABLE activations (
    id TEXT NOT NULL PRIMARY KEY,
    pbx TEXT NOT NULL,
    visit TEXT NOT NULL,
    entry TEXT NOT NULL,
    node TEXT NOT NULL,
    node_revision TEXT NOT NULL,
    call_key TEXT NOT NULL,
    call_id TEXT NOT NULL,
    channel_id TEXT NOT NULL,
    linkedid TEXT NOT NULL,
    caller TEXT NOT NULL,
    presentation TEXT NOT NULL,
    caller_name TEXT NOT NULL,
    dialled TEXT NOT NULL,
    diverted_from TEXT NOT NULL,
    trunk TEXT NOT NULL,
    vars TEXT NOT NULL,               -- JSON object
    recipients TEXT,                  -- the dialplan's own, unread
    sender TEXT,
    delay TEXT,
    arrived_at INTEGER NOT NULL,
    returned_at INTEGER,
    UNIQUE (pbx, visit)
);
CREATE INDEX activations_call ON activations (call_id);

CREATE TABLE messages (
    id TEXT NOT NULL PRIMARY KEY,
    activation_id TEXT NOT NULL REFERENCES activations (id),
    node TEXT NOT NULL,               -- repeated from the activation, for the history's index
    recipient TEXT NOT NULL,
    recipient_reversed TEXT NOT NULL, -- a number is looked for by its end
    recipient_hash BLOB NOT NULL,
    source TEXT NOT NULL,
    status TEXT NOT NULL,
    reason TEXT,
    admitted_status TEXT NOT NULL,    -- what admit() answered, and answers again for the same visit
    admitted_reason TEXT,
    sender TEXT NOT NULL,
    text TEXT,                        -- null while waiting
    encoding TEXT NOT NULL,
    segments INTEGER NOT NULL,
    route TEXT NOT NULL,              -- JSON list
    created_at INTEGER NOT NULL,
    due_at INTEGER,
    expires_at INTEGER NOT NULL,
    attempts_before INTEGER NOT NULL DEFAULT 0, -- those before a person's last retry; the policy counts from there
    max_age INTEGER NOT NULL,         -- expires_at minus due_at as admitted; a retry by a person gets it again
    once_key BLOB,
    claims INTEGER NOT NULL DEFAULT 0,
    lease_token TEXT,
    lease_until INTEGER,
    lease_before TEXT                 -- the status before `sending`
);
CREATE UNIQUE INDEX messages_once ON messages (once_key) WHERE once_key IS NOT NULL;
CREATE INDEX messages_activation ON messages (activation_id);
CREATE INDEX messages_recipient ON messages (recipient_reversed, created_at, id);
CREATE INDEX messages_by_time ON messages (created_at, id);
CREATE INDEX messages_by_node ON messages (node, created_at, id);
CREATE INDEX messages_by_status ON messages (status, created_at, id);
CREATE INDEX messages_due ON messages (due_at, id) WHERE status IN ('scheduled', 'uncertain') AND due_at IS NOT NULL;
CREATE INDEX messages_old ON messages (expires_at) WHERE status IN ('scheduled', 'waiting');
CREATE INDEX messages_leased ON messages (lease_until) WHERE status = 'sending';

CREATE TABLE content_jobs (
    activation_id TEXT NOT NULL PRIMARY KEY REFERENCES activations (id),
    state TEXT NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0,
    next_at INTEGER,
    lease_token TEXT,
    lease_until INTEGER,
    answer TEXT,
    reason TEXT
);
CREATE INDEX content_jobs_next ON content_jobs (next_at) WHERE next_at IS NOT NULL;

CREATE TABLE attempts (
    id TEXT NOT NULL PRIMARY KEY,
    message_id TEXT NOT NULL REFERENCES messages (id),
    n INTEGER NOT NULL,
    provider TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at INTEGER,                 -- null: the bytes may be on their way
    outcome TEXT,
    code TEXT NOT NULL DEFAULT '',
    detail TEXT NOT NULL DEFAULT '',
    UNIQUE (message_id, n)
);

CREATE TABLE submissions (
    attempt_id TEXT NOT NULL REFERENCES attempts (id),
    segment INTEGER NOT NULL,
    provider TEXT NOT NULL,
    provider_id TEXT NOT NULL,
    PRIMARY KEY (attempt_id, segment)
) WITHOUT ROWID;
CREATE INDEX submissions_provider ON submissions (provider, provider_id);

CREATE TABLE receipts (
    id TEXT NOT NULL PRIMARY KEY,
    provider TEXT NOT NULL,
    provider_id TEXT NOT NULL,
    ref TEXT NOT NULL,
    state TEXT NOT NULL,
    raw TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    attempt_id TEXT REFERENCES attempts (id), -- null until matched
    fingerprint BLOB NOT NULL UNIQUE
);
CREATE INDEX receipts_unmatched ON receipts (provider, provider_id) WHERE attempt_id IS NULL;
CREATE INDEX receipts_attempt ON receipts (attempt_id) WHERE attempt_id IS NOT NULL;

CREATE TABLE counters (
    scope TEXT NOT NULL,
    window_start INTEGER NOT NULL,
    window_end INTEGER NOT NULL,
    used INTEGER NOT NULL,
    PRIMARY KEY (scope, window_start)
);
CREATE INDEX counters_end ON counters (window_end);

CREATE TABLE provider_state (
    provider TEXT NOT NULL PRIMARY KEY,
    state TEXT NOT NULL,
    reason TEXT NOT NULL DEFAULT '',
    until INTEGER,
    changed_at INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE pbx_owner (
    pbx TEXT NOT NULL PRIMARY KEY,
    owner TEXT NOT NULL,
    lease_until INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE events (
    id TEXT NOT NULL PRIMARY KEY,
    message_id TEXT NOT NULL REFERENCES messages (id),
    at INTEGER NOT NULL,
    who TEXT NOT NULL,
    what TEXT NOT NULL
);
CREATE INDEX events_message ON events (message_id, id);
