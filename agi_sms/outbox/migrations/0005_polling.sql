-- Whose last word is still to come, by the provider that is asked for it.
CREATE INDEX messages_awaited ON messages (provider, receipt_due_at, id)
WHERE status IN ('accepted', 'uncertain', 'held') AND receipt_due_at IS NOT NULL;
