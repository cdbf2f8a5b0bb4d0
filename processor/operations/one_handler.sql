-- set_limits --
-- $1 statement timeout  $2 lock timeout  $3 idle timeout, in milliseconds; for this transaction. As of a claim.
SELECT
    set_config('statement_timeout', $1::text, true), set_config('lock_timeout', $2::text, true),
    set_config('idle_in_transaction_session_timeout', $3::text, true);
