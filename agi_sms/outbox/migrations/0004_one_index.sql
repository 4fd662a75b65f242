-- Work is claimed by provider (messages_next); what is due of all of them together is asked no more.
DROP INDEX messages_due;
