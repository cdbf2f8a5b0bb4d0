-- limit_reading --
-- $1 milliseconds of a statement at most. A filter's parameters are mostly NULL, so each is planned for its own; this
-- ends with the transaction, and works behind a transaction pooler.
SELECT set_config('statement_timeout', $1, true), set_config('plan_cache_mode', 'force_custom_plan', true);
