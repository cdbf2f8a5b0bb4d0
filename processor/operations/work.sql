-- take_seat --
-- One process works at a time; the lock ends with the transaction, and so with the process.
SELECT pg_try_advisory_xact_lock(hashtextextended('sluice operations', 0));

-- keep_seat --
-- The server ends a transaction that is idle for too long.
SELECT 1;
