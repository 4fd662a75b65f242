-- Where a message goes next. What has ended gets it when a person retries it.
ALTER TABLE messages ADD COLUMN provider TEXT NOT NULL DEFAULT '';
ALTER TABLE messages ADD COLUMN receipt_due_at INTEGER; -- null: none is expected, or the one with the last word came

UPDATE messages SET provider = coalesce(
    (SELECT provider FROM attempts WHERE message_id = messages.id ORDER BY n DESC LIMIT 1),
    json_extract(route, '$[0]'),
    ''
) WHERE status IN ('uncertain', 'sending', 'held');

UPDATE messages SET provider = coalesce(json_extract(route, '$[' || (
    ((SELECT coalesce(max(n), 0) FROM attempts WHERE message_id = messages.id) - attempts_before)
    % max(json_array_length(route), 1)
) || ']'), '') WHERE status IN ('scheduled', 'waiting');

CREATE INDEX messages_next ON messages (provider, due_at, id)
WHERE status IN ('scheduled', 'uncertain') AND due_at IS NOT NULL;

ALTER TABLE attempts ADD COLUMN verdict TEXT;   -- what its receipts say together
ALTER TABLE attempts ADD COLUMN cost INTEGER;   -- if it was taken, in millionths of the currency
ALTER TABLE attempts ADD COLUMN currency TEXT;
CREATE INDEX attempts_provider ON attempts (provider, started_at);

-- Nothing wrote this table before.
DROP TABLE receipts;

CREATE TABLE receipts (
    id TEXT NOT NULL PRIMARY KEY,     -- in the order in which they came
    provider TEXT NOT NULL,
    provider_id TEXT NOT NULL,
    ref TEXT NOT NULL,
    state TEXT NOT NULL,
    code TEXT NOT NULL,
    detail TEXT NOT NULL,
    raw TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    attempt_id TEXT REFERENCES attempts (id), -- null until matched
    fingerprint BLOB NOT NULL UNIQUE
);
CREATE INDEX receipts_attempt ON receipts (attempt_id, id) WHERE attempt_id IS NOT NULL;
CREATE INDEX receipts_unmatched ON receipts (provider, provider_id) WHERE attempt_id IS NULL;
CREATE INDEX receipts_old ON receipts (received_at, id) WHERE attempt_id IS NULL;

INSERT INTO meta (key, value) VALUES ('unmatched', 0); -- how many receipts are
