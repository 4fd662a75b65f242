"""Where messages live: the database, and the spool for when it does not answer."""
