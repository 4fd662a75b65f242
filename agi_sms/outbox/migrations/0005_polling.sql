-- Whose last word is still to come, by the provider that is asked for it.
CREATE INDEX messages_awaited ON messages (provider, id, receipt_due_at)
WHERE (status = 'accepted' AND receipt_due_at IS NOT NULL) OR status = 'uncertain';
