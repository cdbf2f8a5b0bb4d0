-- The scope rule. The planner puts the bodies of both in place of their calls, as long as neither has a SET clause; a
-- test looks at the plans. sluice/payments/scopes.py says the same as the first; a test compares them.

-- The scopes whose payments may touch an events row: its organiser's URL, and its account in either mode.
CREATE OR REPLACE FUNCTION sluice_payment_scopes(events_id text, account text) RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN ARRAY['tenant:' || events_id,
             'live:' || coalesce(nullif(account, ''), 'platform'),
             'test:' || coalesce(nullif(account, ''), 'platform')];

-- The scopes whose payments a row may show: also the platform's, for a charge of the platform's may pay its account.
CREATE OR REPLACE FUNCTION sluice_shown_scopes(events_id text, account text) RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN ARRAY['tenant:' || events_id, 'live:platform', 'test:platform',
             'live:' || nullif(account, ''), 'test:' || nullif(account, '')];
