-- Work is claimed by provider (messages_next); what is due of all of them together is asked no more.
DROP INDEX messages_due;

-- What a person said of an attempt in doubt: `sent` or `fail`.
ALTER TABLE attempts ADD COLUMN judged TEXT;

-- A receipt that comes costs the same however many came before: what earlier ones said is kept beside them.
ALTER TABLE attempts ADD COLUMN receipts INTEGER NOT NULL DEFAULT 0;     -- how many came, those included that are not kept
ALTER TABLE submissions ADD COLUMN delivered INTEGER NOT NULL DEFAULT 0; -- whether a receipt said so of this segment
ALTER TABLE receipts ADD COLUMN times INTEGER NOT NULL DEFAULT 1;        -- how often it came in the same words
ALTER TABLE receipts ADD COLUMN n INTEGER NOT NULL DEFAULT 0;            -- of those that are nobody's and name one id

UPDATE attempts SET receipts = (SELECT count(*) FROM receipts WHERE attempt_id = attempts.id);

UPDATE submissions SET delivered = 1 WHERE EXISTS (
    SELECT 1 FROM receipts
    WHERE attempt_id = submissions.attempt_id AND provider_id = submissions.provider_id AND state = 'delivered'
);

UPDATE receipts SET n = counted.n FROM (
    SELECT id, row_number() OVER (PARTITION BY provider, provider_id ORDER BY received_at, id) AS n
    FROM receipts WHERE attempt_id IS NULL
) AS counted WHERE counted.id = receipts.id;

DROP INDEX receipts_unmatched;
CREATE INDEX receipts_unmatched ON receipts (provider, provider_id, n) WHERE attempt_id IS NULL;
CREATE INDEX receipts_oldest ON receipts (provider, received_at, id) WHERE attempt_id IS NULL;
CREATE INDEX receipts_of_provider ON receipts (provider, id);

-- Each provider has room of its own for receipts that are nobody's.
CREATE TABLE unmatched (
    provider TEXT NOT NULL PRIMARY KEY,
    n INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO unmatched (provider, n) SELECT provider, count(*) FROM receipts WHERE attempt_id IS NULL GROUP BY provider;
DELETE FROM meta WHERE key = 'unmatched';
