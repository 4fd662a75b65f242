-- :n rows, the first of which is number :first; one message and activation each, created :step ms after the one before,
-- the last one at :now. Ids sort by number, as real ones do.

-- name: activations
WITH RECURSIVE rows (i) AS (SELECT :first UNION ALL SELECT i + 1 FROM rows WHERE i + 1 < :first + :n)
INSERT INTO activations (
    id, pbx, visit, entry, node, node_revision, call_key, call_id, channel_id, linkedid, caller, presentation,
    caller_name, dialled, diverted_from, trunk, vars, arrived_at, returned_at
)
SELECT printf('01%014d', i), 'main', printf('5b0c6f3e-1d0a-4f0e-9d3e-%012d', i), 'ari', {node}, 'f00dcafe',
    printf('main/17%08d.%d', i, i), printf('17%08d.%d', i, i), printf('17%08d.%d', i, i), printf('17%08d.%d', i, i),
    printf('+48600%06d', i % 1000000), 'allowed', 'Jan Kowalski', '+48221131415', '', 'trunk', '{}', {at}, {at} + 3
FROM rows;

-- name: messages
WITH RECURSIVE rows (i) AS (SELECT :first UNION ALL SELECT i + 1 FROM rows WHERE i + 1 < :first + :n)
INSERT INTO messages (
    id, activation_id, node, recipient, recipient_reversed, recipient_hash, source, status, reason, admitted_status,
    sender, text, encoding, segments, route, provider, created_at, due_at, expires_at, max_age
)
SELECT printf('01%014d', i), printf('01%014d', i), {node}, printf('+48600%06d', i % 1000000),
    reversed(printf('+48600%06d', i % 1000000)), randomblob(16), 'caller', :status, NULL, 'scheduled',
    'ACME', printf('Thank you for calling. Your number is %d. ACME, Zrodlana 5, Krakow, https://acme.example', i),
    'gsm7', 1, '["peer"]', 'peer', {at}, coalesce(:due, {at}), :now + 86400000, 86400000
FROM rows;

-- name: attempts
WITH RECURSIVE rows (i) AS (SELECT :first UNION ALL SELECT i + 1 FROM rows WHERE i + 1 < :first + :n)
INSERT INTO attempts (id, message_id, n, provider, started_at, ended_at, outcome, verdict, receipts)
SELECT printf('02%014d', i), printf('01%014d', i), 1, 'peer', {at} + 30000, {at} + 30080, 'accepted', 'delivered', 1
FROM rows;

-- name: submissions
WITH RECURSIVE rows (i) AS (SELECT :first UNION ALL SELECT i + 1 FROM rows WHERE i + 1 < :first + :n)
INSERT INTO submissions (attempt_id, segment, provider, provider_id, delivered)
SELECT printf('02%014d', i), 1, 'peer', printf('old-%d', i), 1 FROM rows;

-- name: receipts
WITH RECURSIVE rows (i) AS (SELECT :first UNION ALL SELECT i + 1 FROM rows WHERE i + 1 < :first + :n)
INSERT INTO receipts (id, provider, provider_id, ref, state, code, detail, raw, received_at, attempt_id, fingerprint)
SELECT printf('03%014d', i), 'peer', printf('old-%d', i), '', 'delivered', '', '',
    printf('{"id":"old-%d","state":"delivered"}', i), {at} + 34000, printf('02%014d', i), randomblob(16)
FROM rows;
