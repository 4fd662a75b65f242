-- Nothing wrote this table before.
DROP TABLE content_jobs;

CREATE TABLE content_jobs (
    activation_id TEXT NOT NULL PRIMARY KEY REFERENCES activations (id),
    node TEXT NOT NULL,               -- repeated from the activation, for the index of those to come
    state TEXT NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0, -- that ended, since it was opened
    claims INTEGER NOT NULL DEFAULT 0, -- in a row that did not end
    due_at INTEGER NOT NULL,          -- when the source is to be asked
    next_at INTEGER,                  -- when it may be claimed: due_at, or the end of its lease; null: it ended
    lease_token TEXT,
    lease_until INTEGER,
    reason TEXT,                      -- this and the next three: of the last try
    code TEXT NOT NULL DEFAULT '',
    detail TEXT NOT NULL DEFAULT '',
    excerpt TEXT NOT NULL DEFAULT '',
    ended_at INTEGER
);
CREATE INDEX content_jobs_next ON content_jobs (node, next_at) WHERE next_at IS NOT NULL;
CREATE INDEX content_jobs_leased ON content_jobs (lease_until) WHERE lease_token IS NOT NULL;
