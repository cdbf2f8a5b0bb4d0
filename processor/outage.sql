-- is_writable --
-- Whether this server takes writes: not a standby, not the old primary after a failover.
SELECT NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off' AS is_writable;
