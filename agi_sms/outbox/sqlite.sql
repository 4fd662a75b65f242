-- INDEXED BY: without statistics SQLite takes the index on the status, and reads every row that waits. The WHERE clause
-- has to name the statuses just as the partial index does.

-- name: begin
BEGIN IMMEDIATE;

-- name: taken
(t.outcome = 'accepted' OR t.verdict IN ('delivered', 'accepted')
    OR (t.outcome = 'uncertain' AND (t.verdict = 'failed' OR t.judged = 'sent')))

-- name: doubted
-- Nobody knows: neither the provider nor a person has said more.
(t.outcome = 'uncertain' AND t.verdict IS NULL AND t.judged IS NULL)

-- name: maybe_taken
(coalesce(t.outcome, '') NOT IN ('rejected', 'retry', 'provider_down') OR t.verdict IS NOT NULL)

-- name: columns
m.id, m.activation_id, m.node, a.call_id, m.recipient, m.source, m.status, m.reason, m.sender, m.text, m.encoding,
m.segments, m.route, m.created_at, m.due_at, m.expires_at, m.claims, m.provider, m.receipt_due_at,
coalesce((SELECT max(n) FROM attempts WHERE message_id = m.id), 0) - m.attempts_before AS attempts,
m.text IS NOT NULL
    AND EXISTS (SELECT 1 FROM content_jobs WHERE activation_id = m.activation_id AND state = 'fallback') AS fallback,
(SELECT json_group_array(json_array(t.currency, t.cost)) FROM attempts t
    WHERE t.message_id = m.id AND t.cost IS NOT NULL AND {taken}) AS costs,
EXISTS (SELECT 1 FROM attempts t WHERE t.message_id = m.id AND {maybe_taken}) AS maybe_taken,
m.expires_at - m.max_age AS first_due_at

-- === admission ===

-- name: visits
WITH told (pbx, visit) AS (VALUES (:pbx, :visit))
SELECT a.pbx, a.visit, a.id FROM told CROSS JOIN activations a ON a.pbx = told.pbx AND a.visit = told.visit;

-- name: admitted
-- Recipients that the customer's system named were added after the answer.
SELECT id, recipient, admitted_status, admitted_reason, coalesce(due_at, created_at) AS due_at
FROM messages WHERE activation_id = :activation_id AND (source <> 'api' OR admitted_status = 'waiting') ORDER BY id;

-- name: add_activation
INSERT INTO activations (
    id, pbx, visit, entry, node, node_revision, call_key, call_id, channel_id, linkedid, caller, presentation,
    caller_name, dialled, diverted_from, trunk, vars, recipients, sender, delay, arrived_at
) VALUES (
    :id, :pbx, :visit, :entry, :node, :node_revision, :call_key, :call_id, :channel_id, :linkedid, :caller, :presentation,
    :caller_name, :dialled, :diverted_from, :trunk, :vars, :recipients, :sender, :delay, :arrived_at
);

-- name: once
WITH told (once_key) AS (VALUES (:once_key))
SELECT m.once_key FROM told CROSS JOIN messages m ON m.once_key = told.once_key AND m.once_key IS NOT NULL;

-- name: used
-- A later one is of a clock that has been set back since.
WITH told (scope, since, window_start) AS (VALUES (:scope, :since, :window_start))
SELECT c.scope, sum(c.used) AS used FROM told CROSS JOIN counters c
ON c.scope = told.scope AND c.window_start > told.since AND c.window_start <= told.window_start GROUP BY c.scope;

-- name: use
INSERT INTO counters (scope, window_start, window_end, used) VALUES (:scope, :window_start, :window_end, :more)
ON CONFLICT (scope, window_start) DO UPDATE SET used = used + excluded.used;

-- name: add_message
INSERT INTO messages (
    id, activation_id, node, recipient, recipient_reversed, recipient_hash, source, status, reason, admitted_status,
    admitted_reason, sender, text, encoding, segments, route, provider, created_at, due_at, expires_at, max_age,
    once_key
) VALUES (
    :id, :activation_id, :node, :recipient, :recipient_reversed, :recipient_hash, :source, :status, :reason, :status,
    :reason, :sender, :text, :encoding, :segments, :route, :provider, :created_at, :due_at, :expires_at,
    max(:expires_at - :due_at, 0), :once_key
);

-- name: take_place
UPDATE messages SET recipient = :recipient, recipient_reversed = :recipient_reversed,
    recipient_hash = :recipient_hash, status = :status, reason = :reason, sender = :sender, text = :text,
    encoding = :encoding, segments = :segments, route = :route, provider = :provider, due_at = :due_at,
    expires_at = :expires_at, max_age = max(:expires_at - :due_at, 0), once_key = :once_key
WHERE id = :id;

-- name: returned
WITH told (activation_id, at) AS (VALUES (:activation_id, :at))
UPDATE activations SET returned_at = told.at FROM told WHERE id = told.activation_id;

-- === delivery ===

-- name: lapsed
SELECT m.id, m.claims, m.lease_before,
    (SELECT id FROM attempts WHERE message_id = m.id AND ended_at IS NULL) AS open_attempt
FROM messages m INDEXED BY messages_leased WHERE m.status = 'sending' AND m.lease_until <= :now ORDER BY m.lease_until LIMIT :most;

-- name: of_earlier_run
SELECT m.id, m.claims, m.lease_before,
    (SELECT id FROM attempts WHERE message_id = m.id AND ended_at IS NULL) AS open_attempt
FROM messages m INDEXED BY messages_leased WHERE m.status = 'sending' AND substr(m.lease_token, 1, length(:run)) <> :run
ORDER BY m.lease_until LIMIT :most;

-- name: answered
WITH told (attempt_id, message_id, now, outcome, code, detail, cost, currency)
    AS (VALUES (:attempt_id, :message_id, :now, :outcome, :code, :detail, :cost, :currency))
UPDATE attempts SET ended_at = told.now, outcome = told.outcome, code = told.code, detail = told.detail,
    cost = coalesce(told.cost, attempts.cost), currency = coalesce(told.currency, attempts.currency)
FROM told WHERE id = told.attempt_id AND attempts.message_id = told.message_id

-- name: close_attempt
{answered} AND ended_at IS NULL;

-- name: amend_attempt
{answered} AND attempts.outcome = 'uncertain';

-- name: void
UPDATE messages SET status = :status, reason = coalesce(:reason, reason), due_at = coalesce(:due_at, due_at),
    lease_token = NULL, lease_until = NULL, lease_before = NULL
WHERE id = :message_id;

-- name: expire
UPDATE messages SET status = 'expired', reason = 'too_old' WHERE id IN (
    SELECT id FROM messages INDEXED BY messages_old WHERE status IN ('scheduled', 'waiting') AND expires_at <= :now
    ORDER BY expires_at LIMIT :most
);

-- name: forget_counters
DELETE FROM counters WHERE rowid IN (SELECT rowid FROM counters WHERE window_end <= :now LIMIT :most);

-- name: providers_to_come
-- From provider to provider through the index: what one of them has waiting is not read.
WITH RECURSIVE pending (provider) AS (
    SELECT min(provider) FROM messages INDEXED BY messages_next
    WHERE status IN ('scheduled', 'uncertain') AND due_at IS NOT NULL
    UNION ALL
    SELECT (
        SELECT min(provider) FROM messages INDEXED BY messages_next
        WHERE status IN ('scheduled', 'uncertain') AND due_at IS NOT NULL AND provider > pending.provider
    ) FROM pending WHERE pending.provider IS NOT NULL
)
SELECT provider FROM pending WHERE provider IS NOT NULL;

-- name: first_of
SELECT due_at FROM messages INDEXED BY messages_next
WHERE provider = :provider AND status IN ('scheduled', 'uncertain') AND due_at IS NOT NULL ORDER BY due_at LIMIT 1;

-- name: due_of
SELECT {columns},
    (SELECT provider FROM attempts WHERE message_id = m.id ORDER BY n DESC LIMIT 1) AS last_provider,
    (SELECT ended_at FROM attempts WHERE message_id = m.id ORDER BY n DESC LIMIT 1) AS last_ended,
    (SELECT count(*) FROM attempts WHERE message_id = m.id AND n > m.attempts_before AND outcome = 'retry') AS refusals,
    EXISTS (SELECT 1 FROM events WHERE message_id = m.id AND what IN ('retry', 'resend')) AS again
FROM messages m INDEXED BY messages_next JOIN activations a ON a.id = m.activation_id
WHERE m.provider = :provider AND m.status IN ('scheduled', 'uncertain') AND m.due_at <= :now
ORDER BY m.due_at, m.id LIMIT :most;

-- name: about_to_begin
-- Claimed, and not attempted yet.
SELECT provider, count(*) AS n FROM messages m INDEXED BY messages_leased
WHERE status = 'sending' AND NOT EXISTS (SELECT 1 FROM attempts WHERE message_id = m.id AND ended_at IS NULL)
GROUP BY provider;

-- name: begun
SELECT started_at FROM attempts INDEXED BY attempts_provider
WHERE provider = :provider AND started_at > :since AND started_at <= :now ORDER BY started_at DESC LIMIT :most;

-- name: lease
WITH told (message_id, token, until) AS (VALUES (:message_id, :token, :until))
UPDATE messages SET lease_before = status, status = 'sending', lease_token = told.token, lease_until = told.until,
    claims = claims + 1
FROM told WHERE id = told.message_id;

-- name: next_lapse
SELECT lease_until AS at FROM messages INDEXED BY messages_leased WHERE status = 'sending' ORDER BY lease_until LIMIT 1;

-- name: holds
WITH told (message_id, token, now) AS (VALUES (:message_id, :token, :now))
SELECT m.id, told.token FROM told CROSS JOIN messages m ON m.id = told.message_id
WHERE m.status = 'sending' AND m.lease_token = told.token AND m.lease_until > told.now
    AND NOT EXISTS (SELECT 1 FROM attempts WHERE message_id = m.id AND ended_at IS NULL);

-- name: add_attempt
WITH told (attempt_id, message_id, provider, now, cost, currency)
    AS (VALUES (:attempt_id, :message_id, :provider, :now, :cost, :currency))
INSERT INTO attempts (id, message_id, n, provider, started_at, cost, currency)
SELECT attempt_id, message_id, (SELECT coalesce(max(n), 0) + 1 FROM attempts t WHERE t.message_id = told.message_id),
    provider, now, cost, currency
FROM told;

-- name: attempted
-- This is noted before the bytes leave: should nobody hear of the answer, the message stays with the provider, and a
-- receipt is still expected.
WITH told (message_id, provider, receipt_due_at) AS (VALUES (:message_id, :provider, :receipt_due_at))
UPDATE messages SET claims = 0, provider = told.provider, receipt_due_at = told.receipt_due_at
FROM told WHERE id = told.message_id;

-- name: plain
-- Those of the attempts told of on which nobody has said anything before, the first ones of messages that are leased.
WITH told (attempt_id, message_id, token) AS (VALUES (:attempt_id, :message_id, :token))
SELECT t.id, t.provider FROM told CROSS JOIN attempts t ON t.id = told.attempt_id
CROSS JOIN messages m ON m.id = told.message_id
WHERE t.message_id = told.message_id AND t.outcome IS NULL AND t.ended_at IS NULL AND t.verdict IS NULL
    AND t.judged IS NULL AND t.receipts = 0 AND m.status = 'sending' AND m.lease_token = told.token
    AND m.lease_before = 'scheduled' AND NOT EXISTS (SELECT 1 FROM attempts WHERE message_id = m.id AND id <> t.id);

-- name: laid
-- Who gave an id of which receipts came before.
WITH told (attempt_id, provider, provider_id) AS (VALUES (:attempt_id, :provider, :provider_id))
SELECT told.attempt_id FROM told WHERE EXISTS (
    SELECT 1 FROM receipts INDEXED BY receipts_unmatched
    WHERE provider = told.provider AND provider_id = told.provider_id AND attempt_id IS NULL
);

-- name: decide
WITH told (message_id, token, status, reason, due_at, route, provider, receipt_due_at)
    AS (VALUES (:message_id, :token, :status, :reason, :due_at, :route, :provider, :receipt_due_at))
UPDATE messages SET status = told.status, reason = told.reason, claims = 0,
    due_at = CASE WHEN told.status IN ('scheduled', 'uncertain') THEN told.due_at ELSE messages.due_at END,
    route = coalesce(told.route, messages.route), provider = coalesce(told.provider, messages.provider),
    receipt_due_at = coalesce(told.receipt_due_at, messages.receipt_due_at),
    lease_token = NULL, lease_until = NULL, lease_before = NULL
FROM told WHERE id = told.message_id

-- name: end_lease
{decide} AND messages.status = 'sending' AND messages.lease_token = told.token;

-- name: attempt
SELECT message_id, n, provider, outcome, verdict FROM attempts WHERE id = :attempt_id;

-- name: any_open_attempt
SELECT 1 FROM attempts WHERE message_id = :message_id AND ended_at IS NULL;

-- name: add_submission
INSERT INTO submissions (attempt_id, segment, provider, provider_id)
VALUES (:attempt_id, :segment, :provider, :provider_id) ON CONFLICT (attempt_id, segment) DO NOTHING;

-- name: expect_receipt
UPDATE messages SET receipt_due_at = coalesce(receipt_due_at, :receipt_due_at)
WHERE id = :message_id AND status = 'accepted';

-- === receipts ===

-- name: attempt_by_ref
-- The one that gave this id, else the newest that may have been taken, else the newest.
SELECT t.id, t.message_id, EXISTS (
    SELECT 1 FROM submissions INDEXED BY submissions_provider
    WHERE provider = :provider AND provider_id = :provider_id AND attempt_id = t.id
) AS gave
FROM attempts t WHERE t.message_id = :ref AND t.provider = :provider ORDER BY
    gave DESC,
    coalesce(t.outcome, '') IN ('rejected', 'retry', 'provider_down'),
    t.n DESC
LIMIT 1;

-- name: attempt_by_id
SELECT t.id, t.message_id FROM attempts t WHERE t.id = (
    SELECT attempt_id FROM submissions INDEXED BY submissions_provider
    WHERE provider = :provider AND provider_id = :provider_id ORDER BY attempt_id DESC LIMIT 1
);

-- name: hearing
SELECT message_id, outcome, verdict, receipts FROM attempts WHERE id = :attempt_id;

-- name: segments
SELECT provider_id, delivered FROM submissions WHERE attempt_id = :attempt_id ORDER BY segment;

-- name: awaits
-- The attempts that gave these ids, where nobody knows more of their messages than that they were accepted in one piece.
WITH told (provider, provider_id) AS (VALUES (:provider, :provider_id))
SELECT told.provider, told.provider_id, t.id AS attempt_id, t.message_id FROM told CROSS JOIN attempts t ON t.id = (
    SELECT attempt_id FROM submissions INDEXED BY submissions_provider
    WHERE provider = told.provider AND provider_id = told.provider_id ORDER BY attempt_id DESC LIMIT 1
) CROSS JOIN messages m ON m.id = t.message_id
WHERE t.outcome = 'accepted' AND t.verdict IS NULL AND t.judged IS NULL AND t.receipts = 0 AND t.provider = told.provider
    AND m.status = 'accepted' AND NOT EXISTS (SELECT 1 FROM attempts WHERE message_id = m.id AND id <> t.id)
    AND (SELECT count(*) FROM submissions WHERE attempt_id = t.id) = 1;

-- name: add_receipt
INSERT INTO receipts (
    id, provider, provider_id, ref, state, code, detail, raw, received_at, attempt_id, n, fingerprint
) VALUES (
    :id, :provider, :provider_id, :ref, :state, :code, :detail, :raw, :now, :attempt_id, :n, :fingerprint
);

-- name: came_again
UPDATE receipts SET received_at = :now, times = times + 1 WHERE fingerprint = :fingerprint AND attempt_id IS NULL;

-- name: repeated
-- Known by this name, or by the one that it had before it was matched.
UPDATE receipts SET times = times + 1 WHERE fingerprint IN (:fingerprint, hex(:early) || :attempt_id);

-- name: laid_by
-- The first and the last number of those that name an id.
SELECT (
    SELECT n FROM receipts INDEXED BY receipts_unmatched
    WHERE provider = :provider AND provider_id = :provider_id AND attempt_id IS NULL ORDER BY n LIMIT 1
) AS first, (
    SELECT n FROM receipts INDEXED BY receipts_unmatched
    WHERE provider = :provider AND provider_id = :provider_id AND attempt_id IS NULL ORDER BY n DESC LIMIT 1
) AS last;

-- name: drop_oldest
DELETE FROM receipts WHERE id = (
    SELECT id FROM receipts INDEXED BY receipts_unmatched
    WHERE provider = :provider AND provider_id = :provider_id AND attempt_id IS NULL ORDER BY n LIMIT 1
);

-- name: match_receipts
-- With another fingerprint, so that the same words about a later message of this id are kept as well. Where the clock was
-- set back since the attempt, nobody can tell which came first.
UPDATE receipts SET attempt_id = :attempt_id, fingerprint = hex(fingerprint) || :attempt_id WHERE id IN (
    SELECT id FROM receipts INDEXED BY receipts_unmatched
    WHERE provider = :provider AND provider_id = :provider_id AND attempt_id IS NULL
    AND EXISTS (
        SELECT 1 FROM attempts WHERE id = :attempt_id AND (started_at <= received_at OR started_at > :now)
    )
    ORDER BY state IN ('delivered', 'failed') DESC, n DESC LIMIT :most
);

-- name: told
SELECT provider_id, state, times FROM receipts INDEXED BY receipts_attempt WHERE attempt_id = :attempt_id ORDER BY id;

-- name: count_receipts
WITH told (attempt_id, more) AS (VALUES (:attempt_id, :more))
UPDATE attempts SET receipts = receipts + told.more FROM told WHERE id = told.attempt_id;

-- name: set_verdict
WITH told (attempt_id, verdict) AS (VALUES (:attempt_id, :verdict))
UPDATE attempts SET verdict = told.verdict FROM told WHERE id = told.attempt_id;

-- name: set_delivered
UPDATE submissions SET delivered = 1 WHERE attempt_id = :attempt_id AND segment IN (
    SELECT segment FROM submissions WHERE attempt_id = :attempt_id AND provider_id = :provider_id AND NOT delivered
    ORDER BY segment LIMIT :count
);

-- name: none_delivered
UPDATE submissions SET delivered = 0 WHERE attempt_id = :attempt_id AND delivered;

-- name: standing
SELECT status, lease_before, attempts_before,
    EXISTS (SELECT 1 FROM attempts WHERE message_id = :message_id AND ended_at IS NULL) AS under_way
FROM messages WHERE id = :message_id;

-- name: tried
SELECT n, outcome, verdict FROM attempts WHERE message_id = :message_id ORDER BY n;

-- name: settle_message
WITH told (message_id, status, reason) AS (VALUES (:message_id, :status, :reason))
UPDATE messages SET status = told.status, reason = told.reason, claims = 0,
    receipt_due_at = CASE WHEN told.status = 'accepted' THEN receipt_due_at END,
    lease_token = NULL, lease_until = NULL, lease_before = NULL
FROM told WHERE id = told.message_id;

-- name: one
WITH told (message_id) AS (VALUES (:message_id))
SELECT {columns} FROM told CROSS JOIN messages m ON m.id = told.message_id JOIN activations a ON a.id = m.activation_id;

-- name: count_unmatched
INSERT INTO unmatched (provider, n) VALUES (:provider, :more) ON CONFLICT (provider) DO UPDATE SET n = n + :more;

-- name: unmatched
SELECT n FROM unmatched WHERE provider = :provider;

-- name: forget_receipts
DELETE FROM receipts WHERE id IN (
    SELECT id FROM receipts INDEXED BY receipts_old WHERE attempt_id IS NULL AND received_at <= :before
    ORDER BY received_at, id LIMIT :most
) RETURNING provider;

-- name: drop_receipts
DELETE FROM receipts WHERE id IN (
    SELECT id FROM receipts INDEXED BY receipts_oldest WHERE provider = :provider AND attempt_id IS NULL
    ORDER BY received_at, id LIMIT :most
);

-- name: receipts_of
SELECT * FROM receipts INDEXED BY receipts_attempt WHERE attempt_id = :attempt_id ORDER BY id;

-- name: awaited
-- Of what is held only that which an attempt in doubt was made of.
SELECT m.id, m.status, m.receipt_due_at, t.started_at, (
    SELECT json_group_array(provider_id) FROM (
        SELECT provider_id FROM submissions WHERE attempt_id = t.id AND NOT delivered ORDER BY segment
    )
) AS provider_ids
FROM messages m INDEXED BY messages_awaited JOIN attempts t ON t.id = (
    SELECT id FROM attempts WHERE message_id = m.id AND provider = :provider ORDER BY n DESC LIMIT 1
)
WHERE m.provider = :provider AND m.status IN ('accepted', 'uncertain', 'held') AND m.receipt_due_at IS NOT NULL
    AND m.receipt_due_at > :now AND (m.receipt_due_at, m.id) > (:until, :after)
    AND t.outcome IN ('accepted', 'uncertain') AND t.judged IS NULL
ORDER BY m.receipt_due_at, m.id LIMIT :most;

-- === content jobs ===

-- name: add_job
INSERT INTO content_jobs (activation_id, node, state, due_at, next_at) VALUES (:activation_id, :node, 'open', :at, :at);

-- name: reopen_job
-- A job that is being asked just now is left alone: its answer is for all who wait then.
INSERT INTO content_jobs (activation_id, node, state, due_at, next_at)
SELECT activation_id, node, 'open', :now, :now FROM messages WHERE id = :message_id AND status = 'waiting'
ON CONFLICT (activation_id) DO UPDATE SET state = 'open', tries = 0, claims = 0, due_at = :now, next_at = :now,
    lease_token = NULL, lease_until = NULL, reason = NULL, code = '', detail = '', excerpt = '', ended_at = NULL
WHERE lease_token IS NULL OR lease_until <= :now;

-- name: pending_nodes
-- From node to node through the index: what one of them has waiting is not read.
WITH RECURSIVE pending (node) AS (
    SELECT min(node) FROM content_jobs INDEXED BY content_jobs_next WHERE next_at IS NOT NULL
    UNION ALL
    SELECT (
        SELECT min(node) FROM content_jobs INDEXED BY content_jobs_next
        WHERE next_at IS NOT NULL AND node > pending.node
    ) FROM pending WHERE pending.node IS NOT NULL
)
SELECT node FROM pending WHERE node IS NOT NULL;

-- name: first_job
SELECT activation_id, next_at FROM content_jobs INDEXED BY content_jobs_next
WHERE node = :node AND next_at IS NOT NULL ORDER BY next_at LIMIT 1;

-- name: expire_waiting
UPDATE messages INDEXED BY messages_activation SET status = 'expired', reason = 'too_old'
WHERE activation_id = :activation_id AND status = 'waiting' AND expires_at <= :now;

-- name: job
SELECT a.*, j.tries, j.claims, EXISTS (
    SELECT 1 FROM messages INDEXED BY messages_activation
    WHERE activation_id = :activation_id AND status = 'waiting'
) AS wanted
FROM content_jobs j JOIN activations a ON a.id = j.activation_id WHERE j.activation_id = :activation_id;

-- name: lease_job
UPDATE content_jobs SET lease_token = :token, lease_until = :until, next_at = :until, claims = claims + 1
WHERE activation_id = :activation_id;

-- name: recover_jobs
UPDATE content_jobs SET next_at = min(due_at, :now), lease_token = NULL, lease_until = NULL WHERE activation_id IN (
    SELECT activation_id FROM content_jobs INDEXED BY content_jobs_leased
    WHERE lease_token IS NOT NULL AND substr(lease_token, 1, length(:run)) <> :run LIMIT :most
);

-- name: holds_job
SELECT 1 FROM content_jobs WHERE activation_id = :activation_id AND lease_token = :token AND lease_until > :now;

-- name: postpone_job
UPDATE content_jobs SET tries = tries + 1, claims = 0, due_at = :at, next_at = :at, lease_token = NULL,
    lease_until = NULL, reason = :reason, code = :code, detail = :detail, excerpt = :excerpt
WHERE activation_id = :activation_id AND lease_token = :token AND lease_until > :now;

-- name: release_job
UPDATE content_jobs SET next_at = due_at, claims = claims - 1, lease_token = NULL, lease_until = NULL
WHERE activation_id = :activation_id AND lease_token = :token AND lease_until > :now;

-- name: drop_job
UPDATE content_jobs SET state = 'dropped', next_at = NULL, claims = 0, lease_token = NULL, lease_until = NULL,
    ended_at = :now
WHERE activation_id = :activation_id;

-- name: end_job
UPDATE content_jobs SET state = :state, tries = tries + :tried, claims = 0, next_at = NULL, lease_token = NULL,
    lease_until = NULL, reason = :reason, code = :code, detail = :detail, excerpt = :excerpt, ended_at = :now
WHERE activation_id = :activation_id;

-- name: end_waiting
UPDATE messages INDEXED BY messages_activation SET status = :status, reason = :reason, text = :text,
    encoding = :encoding, segments = :segments, sender = coalesce(:sender, sender),
    due_at = coalesce(:due_at, due_at), expires_at = max(coalesce(:due_at + max_age, 0), expires_at),
    once_key = CASE WHEN :status = 'skipped' THEN NULL ELSE once_key END
WHERE activation_id = :activation_id AND status = 'waiting';

-- name: waiting
SELECT count(*) AS n, max(expires_at) AS expires_at, max(CASE WHEN recipient = '' THEN id END) AS unnamed
FROM messages INDEXED BY messages_activation WHERE activation_id = :activation_id AND status = 'waiting';

-- name: end_unnamed
UPDATE messages SET status = :status, reason = :reason,
    once_key = CASE WHEN :status = 'skipped' THEN NULL ELSE once_key END
WHERE id = :message_id;

-- name: recipients_of
SELECT recipient FROM messages WHERE activation_id = :activation_id;

-- name: content_of
SELECT * FROM content_jobs WHERE activation_id = :activation_id;

-- === history ===

-- name: history
SELECT {columns} FROM messages m JOIN activations a ON a.id = m.activation_id

-- name: history_ids
SELECT m.id FROM messages m JOIN activations a ON a.id = m.activation_id

-- name: newest_first
ORDER BY m.created_at DESC, m.id DESC

-- name: if_node
m.node = :node

-- name: if_status
m.status = :status

-- name: if_provider
(m.provider = :provider OR EXISTS (SELECT 1 FROM attempts WHERE message_id = m.id AND provider = :provider))

-- name: if_call_id
a.call_id = :call_id

-- name: if_number
m.recipient_reversed = :number

-- name: if_number_ends
m.recipient_reversed >= :number AND m.recipient_reversed < :number || char(1114111)

-- name: if_message_id
m.id IN (
    SELECT id FROM messages WHERE id = :message_id
    UNION
    SELECT id FROM messages WHERE length(:message_id) >= 4 AND (
        substr(id, 1, length(:message_id)) = :message_id OR substr(id, -length(:message_id)) = :message_id
    )
)

-- name: if_since
m.created_at >= :since

-- name: if_until
m.created_at < :until

-- name: visit_of
SELECT * FROM activations WHERE id = :activation_id;

-- name: attempts
SELECT * FROM attempts WHERE message_id = :message_id ORDER BY n;

-- name: provider_ids
SELECT provider_id FROM submissions WHERE attempt_id = :attempt_id ORDER BY segment;

-- name: events
SELECT at, who, what FROM events WHERE message_id = :message_id ORDER BY id;

-- name: of_activation
SELECT {columns} FROM messages m JOIN activations a ON a.id = m.activation_id
WHERE m.activation_id = :activation_id ORDER BY m.id;

-- name: totals
SELECT m.node, m.created_at / 900000 AS quarter, CASE WHEN :by_provider THEN t.provider ELSE '' END AS by_provider,
    coalesce(t.currency, '') AS currency,
    count(DISTINCT iif({taken}, m.id, NULL)) AS messages, sum(iif({taken}, m.segments, 0)) AS segments,
    sum(iif({taken}, coalesce(t.cost, 0), 0)) AS cost,
    count(DISTINCT iif({doubted}, m.id, NULL)) AS doubted, sum(iif({doubted}, coalesce(t.cost, 0), 0)) AS cost_doubted
FROM messages m JOIN activations a ON a.id = m.activation_id JOIN attempts t ON t.message_id = m.id
AND ({taken} OR {doubted}) AND t.provider = coalesce(:provider, t.provider)

-- name: by_quarter
GROUP BY 1, 2, 3, 4

-- name: last_receipt
SELECT received_at FROM receipts WHERE provider = :provider ORDER BY id DESC LIMIT 1;

-- name: waiting_by_route
SELECT route, count(*) AS n FROM messages WHERE status IN ('waiting', 'scheduled', 'uncertain') GROUP BY route;

-- name: stats
SELECT status, count(*) AS n FROM messages GROUP BY status;

-- === a person's decisions ===

-- name: status
SELECT status FROM messages WHERE id = :message_id;

-- name: as_seen
-- Whether it is as a person saw it who decides: nothing has happened to it since.
SELECT 1 FROM messages WHERE id = :message_id AND status = :status AND reason IS :reason AND due_at IS :due_at
AND provider = :provider
AND attempts_before + :attempts = (SELECT coalesce(max(n), 0) FROM attempts WHERE message_id = :message_id);

-- name: cancel
UPDATE messages SET status = 'cancelled', reason = 'operator', receipt_due_at = NULL WHERE id = :message_id;

-- name: judge_sent
UPDATE messages SET status = 'accepted', reason = NULL, claims = 0, receipt_due_at = NULL WHERE id = :message_id;

-- name: judge_attempt
-- The last one in doubt has it; what it costs counts from now on.
UPDATE attempts SET judged = :what WHERE id = (
    SELECT t.id FROM attempts t WHERE t.message_id = :message_id AND {doubted} ORDER BY t.n DESC LIMIT 1
);

-- name: judge_attempts
UPDATE attempts AS t SET judged = :what WHERE t.message_id = :message_id AND {doubted};

-- name: judge_fail
UPDATE messages SET status = 'failed', reason = 'operator', claims = 0, receipt_due_at = NULL WHERE id = :message_id;

-- name: retry
UPDATE messages SET status = CASE WHEN text IS NULL THEN 'waiting' ELSE 'scheduled' END, reason = NULL,
    due_at = :now, expires_at = :now + max_age, claims = 0, receipt_due_at = NULL,
    route = coalesce(:route, route), provider = coalesce(json_extract(coalesce(:route, route), '$[0]'), ''),
    attempts_before = (SELECT coalesce(max(n), 0) FROM attempts WHERE message_id = :message_id)
WHERE id = :message_id;

-- name: refused_by
-- In their order, since a person last gave it another route.
SELECT provider FROM attempts WHERE message_id = :message_id AND outcome = 'rejected' AND started_at >= coalesce(
    (SELECT max(at) FROM events WHERE message_id = :message_id AND what LIKE 'route %'), 0) ORDER BY n;

-- name: reroute
-- What is only to go another way goes when it would have gone.
UPDATE messages SET route = :route, provider = json_extract(:route, '$[0]') WHERE id = :message_id;

-- name: add_event
INSERT INTO events (id, message_id, at, who, what) VALUES (:id, :message_id, :now, :who, :what);
