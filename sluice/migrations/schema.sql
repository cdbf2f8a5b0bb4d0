-- The tables at a glance: what the migrations make of an empty database. Written by `make schema`; for reading.
-- To set up a database use the migrations: they adopt what is there, and note what they add. The functions, and the
-- trigger of webhook_logs, are in functions.sql.

CREATE ROLE sluice_healthd NOLOGIN;
CREATE ROLE sluice_ingest NOLOGIN;
CREATE ROLE sluice_maintainer NOLOGIN;
CREATE ROLE sluice_migrator NOLOGIN;
CREATE ROLE sluice_operator NOLOGIN;
CREATE ROLE sluice_processor NOLOGIN;
CREATE ROLE sluice_reconciler NOLOGIN;
GRANT pg_monitor TO sluice_healthd;
GRANT pg_read_all_stats TO sluice_operator;
GRANT CREATE ON SCHEMA public TO sluice_migrator;
GRANT USAGE ON SCHEMA public TO sluice_healthd, sluice_ingest, sluice_maintainer, sluice_migrator, sluice_operator, sluice_processor, sluice_reconciler;

CREATE TABLE events (
    id                        uuid DEFAULT gen_random_uuid(),
    name                      text,
    created_at                timestamptz NOT NULL DEFAULT now(),
    webhook_secret            varchar(255),
    stripe_account_id         varchar(255),
    payment_status            varchar(50) DEFAULT 'pending',
    last_webhook_received     timestamp,                              -- UTC
    stripe_payment_intent_id  text,
    PRIMARY KEY (id)
);
CREATE INDEX events_stripe_payment_intent_id ON events (stripe_payment_intent_id);
ALTER TABLE events ENABLE ROW LEVEL SECURITY;
CREATE POLICY sluice_ingest ON events TO sluice_ingest USING (true) WITH CHECK (true);
CREATE POLICY sluice_migrator ON events TO sluice_migrator USING (true) WITH CHECK (true);
CREATE POLICY sluice_operator ON events TO sluice_operator USING (true) WITH CHECK (true);
CREATE POLICY sluice_processor ON events TO sluice_processor USING (true) WITH CHECK (true);
CREATE POLICY sluice_reconciler ON events TO sluice_reconciler USING (true) WITH CHECK (true);
GRANT SELECT (id, webhook_secret, stripe_account_id) ON events TO sluice_ingest;
GRANT REFERENCES (id) ON events TO sluice_migrator;
GRANT SELECT (id, name, created_at, stripe_account_id, payment_status, last_webhook_received, stripe_payment_intent_id) ON events TO sluice_migrator;
GRANT SELECT (id, name, created_at, stripe_account_id, payment_status, last_webhook_received, stripe_payment_intent_id) ON events TO sluice_operator;
GRANT SELECT (id, name, created_at, stripe_account_id, payment_status, last_webhook_received, stripe_payment_intent_id) ON events TO sluice_processor;
GRANT UPDATE (payment_status, last_webhook_received, stripe_payment_intent_id) ON events TO sluice_processor;
GRANT SELECT (id, stripe_account_id) ON events TO sluice_reconciler;

-- What the runner applied, of Sluice's own set and of other packages'.
CREATE TABLE sluice_migration (
    set_name    text NOT NULL,
    file_name   text NOT NULL,
    checksum    text NOT NULL,                                        -- SHA-256 of the file
    applied_at  timestamptz NOT NULL DEFAULT now(),
    applied_by  text NOT NULL DEFAULT CURRENT_USER,
    PRIMARY KEY (set_name, file_name)
);
ALTER TABLE sluice_migration ENABLE ROW LEVEL SECURITY;
CREATE POLICY sluice_healthd ON sluice_migration TO sluice_healthd USING (true) WITH CHECK (true);
CREATE POLICY sluice_ingest ON sluice_migration TO sluice_ingest USING (true) WITH CHECK (true);
CREATE POLICY sluice_migrator ON sluice_migration TO sluice_migrator USING (true) WITH CHECK (true);
CREATE POLICY sluice_operator ON sluice_migration TO sluice_operator USING (true) WITH CHECK (true);
CREATE POLICY sluice_processor ON sluice_migration TO sluice_processor USING (true) WITH CHECK (true);
CREATE POLICY sluice_reconciler ON sluice_migration TO sluice_reconciler USING (true) WITH CHECK (true);
GRANT SELECT ON sluice_migration TO sluice_healthd;
GRANT SELECT ON sluice_migration TO sluice_ingest;
GRANT ALL ON sluice_migration TO sluice_migrator;
GRANT SELECT ON sluice_migration TO sluice_operator;
GRANT SELECT ON sluice_migration TO sluice_processor;
GRANT SELECT ON sluice_migration TO sluice_reconciler;

-- What was not there before Sluice, so that a rollback knows what is the user's.
CREATE TABLE sluice_addition (
    kind        text NOT NULL,
    table_name  text NOT NULL DEFAULT '',
    name        text NOT NULL DEFAULT '',                             -- the column, index or role
    detail      text NOT NULL DEFAULT '',                             -- the privilege that was revoked
    added_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (kind, table_name, name, detail),
    CHECK (kind = ANY (ARRAY['table'::text, 'column'::text, 'index'::text, 'role'::text, 'revoked'::text]))
);
ALTER TABLE sluice_addition ENABLE ROW LEVEL SECURITY;
CREATE POLICY sluice_migrator ON sluice_addition TO sluice_migrator USING (true) WITH CHECK (true);
GRANT SELECT ON sluice_addition TO sluice_migrator;

-- Each webhook, once. An earlier application's table keeps its own columns and their types.
CREATE TABLE webhook_logs (
    id                   bigint GENERATED BY DEFAULT AS IDENTITY,
    stripe_event_id      text NOT NULL,                               -- a tenant's: evt_…@{events.id}
    webhook_type         text NOT NULL,
    stripe_account_id    text,
    livemode             boolean,
    api_version          text,
    object_id            text,
    stripe_created_at    timestamptz,
    tenant               text,                                        -- events.id of the organiser's URL
    body                 bytea,                                       -- the bytes that Stripe signed
    verified_by          text,                                        -- fingerprint of the secret
    processed            boolean NOT NULL DEFAULT false,
    processing_attempts  integer NOT NULL DEFAULT 0,
    solo_starts          integer NOT NULL DEFAULT 0,                  -- runs alone that were begun and never ended
    last_error           text,
    outcome              text,                                        -- applied, ignored, parked, failed, unsupported
    next_attempt_at      timestamptz,                                 -- the relay's alone; NULL: never relayed
    published_at         timestamptz,                                 -- newest publication not yet tried; NULL: the last one was tried
    publications         integer NOT NULL DEFAULT 0,
    parked_at            timestamptz,                                 -- first time parked
    processed_at         timestamptz,
    dead_at              timestamptz,
    created_at           timestamptz NOT NULL DEFAULT now(),
    postponed_at         timestamptz,                                 -- since when others hold it up; NULL: they do not
    revivals             integer NOT NULL DEFAULT 0,                  -- lives after the first: dead, and sent again
    revived_at           timestamptz,                                 -- when the newest of them began
    resumed_at           timestamptz,
    body_id              bigint,                                      -- webhook_body.id; NULL: the body is here, or there is none
    body_bytes           integer,                                     -- its length, where body_id is known
    PRIMARY KEY (id),
    UNIQUE (stripe_event_id)
) WITH (autovacuum_vacuum_scale_factor=0.01, autovacuum_vacuum_threshold=5000, autovacuum_analyze_scale_factor=0.02, autovacuum_vacuum_cost_limit=2000);
ALTER TABLE webhook_logs ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE INDEX webhook_logs_attempted ON webhook_logs (created_at) WHERE processing_attempts > 0;
CREATE INDEX webhook_logs_column_body ON webhook_logs (created_at) WHERE body IS NOT NULL;
CREATE INDEX webhook_logs_dead ON webhook_logs (dead_at) WHERE dead_at IS NOT NULL;
CREATE INDEX webhook_logs_due ON webhook_logs (next_attempt_at) WHERE NOT processed AND dead_at IS NULL AND next_attempt_at IS NOT NULL AND published_at IS NULL;
CREATE INDEX webhook_logs_processed_at ON webhook_logs USING brin (processed_at) WITH (pages_per_range='32', autosummarize='on');
CREATE INDEX webhook_logs_recent ON webhook_logs (created_at);
CREATE INDEX webhook_logs_unprocessed ON webhook_logs (created_at) WHERE NOT processed;
CREATE INDEX webhook_logs_untried ON webhook_logs (published_at) WHERE NOT processed AND dead_at IS NULL AND next_attempt_at IS NOT NULL AND published_at IS NOT NULL;
ALTER TABLE webhook_logs ENABLE ROW LEVEL SECURITY;
CREATE POLICY sluice_healthd ON webhook_logs TO sluice_healthd USING (true) WITH CHECK (true);
CREATE POLICY sluice_ingest ON webhook_logs TO sluice_ingest USING (true) WITH CHECK (true);
CREATE POLICY sluice_migrator ON webhook_logs TO sluice_migrator USING (true) WITH CHECK (true);
CREATE POLICY sluice_operator ON webhook_logs TO sluice_operator USING (true) WITH CHECK (true);
CREATE POLICY sluice_processor ON webhook_logs TO sluice_processor USING (true) WITH CHECK (true);
CREATE POLICY sluice_reconciler ON webhook_logs TO sluice_reconciler USING (true) WITH CHECK ((verified_by = 'api'::text));
GRANT INSERT, SELECT ON webhook_logs TO sluice_ingest;
GRANT ALL ON webhook_logs TO sluice_migrator;
GRANT SELECT ON webhook_logs TO sluice_operator;
GRANT SELECT ON webhook_logs TO sluice_processor;
GRANT SELECT (webhook_type, livemode, stripe_created_at, processed, processing_attempts, solo_starts, outcome, next_attempt_at, published_at, publications, parked_at, processed_at, dead_at, created_at, resumed_at, body_id) ON webhook_logs TO sluice_healthd;
GRANT UPDATE (next_attempt_at, published_at, publications) ON webhook_logs TO sluice_ingest;
GRANT UPDATE (processed, processing_attempts, solo_starts, last_error, outcome, next_attempt_at, published_at, parked_at, processed_at, dead_at, postponed_at) ON webhook_logs TO sluice_processor;
GRANT INSERT (stripe_event_id, webhook_type, stripe_account_id, livemode, api_version, object_id, stripe_created_at, tenant, body, verified_by, next_attempt_at, published_at, publications, body_id, body_bytes) ON webhook_logs TO sluice_reconciler;
GRANT SELECT (id, stripe_event_id, stripe_account_id, livemode, tenant, body, verified_by, outcome, created_at, body_id) ON webhook_logs TO sluice_reconciler;

-- Each repeat of a webhook that was recorded already.
CREATE TABLE webhook_delivery (
    id               bigint GENERATED ALWAYS AS IDENTITY,
    stripe_event_id  text NOT NULL,
    verified_by      text,
    body_differs     boolean,
    received_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id)
);
CREATE INDEX webhook_delivery_event ON webhook_delivery (stripe_event_id);
ALTER TABLE webhook_delivery ENABLE ROW LEVEL SECURITY;
CREATE POLICY sluice_healthd ON webhook_delivery TO sluice_healthd USING (true) WITH CHECK (true);
CREATE POLICY sluice_ingest ON webhook_delivery TO sluice_ingest USING (true) WITH CHECK (true);
CREATE POLICY sluice_migrator ON webhook_delivery TO sluice_migrator USING (true) WITH CHECK (true);
CREATE POLICY sluice_operator ON webhook_delivery TO sluice_operator USING (true) WITH CHECK (true);
CREATE POLICY sluice_reconciler ON webhook_delivery TO sluice_reconciler USING (true) WITH CHECK (true);
GRANT INSERT, SELECT ON webhook_delivery TO sluice_ingest;
GRANT ALL ON webhook_delivery TO sluice_migrator;
GRANT SELECT ON webhook_delivery TO sluice_operator;
GRANT SELECT (body_differs, received_at) ON webhook_delivery TO sluice_healthd;
GRANT SELECT (id, verified_by, received_at) ON webhook_delivery TO sluice_reconciler;

-- Each time that a webhook died, whatever became of it since: a write-off or a replay clears dead_at. Append-only, by a
-- trigger on webhook_logs.dead_at that has the rights of the table's owner.
CREATE TABLE webhook_death (
    id               bigint GENERATED ALWAYS AS IDENTITY,
    stripe_event_id  text NOT NULL,
    outcome          text,
    died_at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id)
);
CREATE INDEX webhook_death_recent ON webhook_death (died_at);
ALTER TABLE webhook_death ENABLE ROW LEVEL SECURITY;
CREATE POLICY sluice_healthd ON webhook_death TO sluice_healthd USING (true) WITH CHECK (true);
CREATE POLICY sluice_migrator ON webhook_death TO sluice_migrator USING (true) WITH CHECK (true);
CREATE POLICY sluice_operator ON webhook_death TO sluice_operator USING (true) WITH CHECK (true);
GRANT ALL ON webhook_death TO sluice_migrator;
GRANT SELECT ON webhook_death TO sluice_operator;
GRANT SELECT (outcome, died_at) ON webhook_death TO sluice_healthd;

-- Which webhooks a processor took from PostgreSQL itself and has not finished, while NATS is away or where there is
-- none. A lease that ran out names those that were in the hand of a process that died.
CREATE TABLE processing_lease (
    id          text,
    event_ids   text[] NOT NULL,
    expires_at  timestamptz NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX processing_lease_expires ON processing_lease (expires_at);
ALTER TABLE processing_lease ENABLE ROW LEVEL SECURITY;
CREATE POLICY sluice_migrator ON processing_lease TO sluice_migrator USING (true) WITH CHECK (true);
CREATE POLICY sluice_processor ON processing_lease TO sluice_processor USING (true) WITH CHECK (true);
GRANT ALL ON processing_lease TO sluice_migrator;
GRANT DELETE, INSERT, SELECT, UPDATE ON processing_lease TO sluice_processor;

-- From where the indexes of open webhooks are read. Each webhook leaves a dead entry in them, and PostgreSQL may remove
-- none that an open transaction could see; who reads such an index from its beginning walks over all of them. So
-- healthd keeps the place of the first open row, less a margin. The mark is a help and no truth: the relay reads the
-- whole index every few minutes.
CREATE TABLE queue_watermark (
    is_only       boolean DEFAULT true,
    untried_from  timestamptz NOT NULL DEFAULT '-infinity',           -- published_at of the first row published and not tried
    due_from      timestamptz NOT NULL DEFAULT '-infinity',           -- next_attempt_at of the first row that is tried again
    moved_at      timestamptz NOT NULL DEFAULT '-infinity',
    PRIMARY KEY (is_only),
    CHECK (is_only)
);
ALTER TABLE queue_watermark ENABLE ROW LEVEL SECURITY;
CREATE POLICY sluice_healthd ON queue_watermark TO sluice_healthd USING (true) WITH CHECK (true);
CREATE POLICY sluice_ingest ON queue_watermark TO sluice_ingest USING (true) WITH CHECK (true);
CREATE POLICY sluice_migrator ON queue_watermark TO sluice_migrator USING (true) WITH CHECK (true);
CREATE POLICY sluice_operator ON queue_watermark TO sluice_operator USING (true) WITH CHECK (true);
CREATE POLICY sluice_processor ON queue_watermark TO sluice_processor USING (true) WITH CHECK (true);
GRANT SELECT ON queue_watermark TO sluice_healthd;
GRANT SELECT ON queue_watermark TO sluice_ingest;
GRANT ALL ON queue_watermark TO sluice_migrator;
GRANT SELECT ON queue_watermark TO sluice_operator;
GRANT SELECT ON queue_watermark TO sluice_processor;
GRANT UPDATE (untried_from, due_from, moved_at) ON queue_watermark TO sluice_healthd;

CREATE TABLE error_logs (
    id               bigint GENERATED BY DEFAULT AS IDENTITY,
    severity         text NOT NULL,
    message          text NOT NULL,
    kind             text NOT NULL DEFAULT 'general',
    stack_trace      text,
    user_id          text,
    event_id         text,
    request_data     jsonb,
    resolved         boolean NOT NULL DEFAULT false,
    resolved_at      timestamptz,
    service          text,
    created_at       timestamptz NOT NULL DEFAULT now(),
    stripe_event_id  text,                                            -- key of webhook_logs; event_id is events.id
    PRIMARY KEY (id),
    CHECK (kind = ANY (ARRAY['general'::text, 'database'::text, 'webhook'::text, 'api'::text])),
    CHECK (severity = ANY (ARRAY['error'::text, 'warning'::text, 'critical'::text, 'high'::text, 'info'::text]))
);
CREATE INDEX error_logs_critical ON error_logs (created_at) WHERE severity = 'critical'::text;
CREATE INDEX error_logs_event ON error_logs (COALESCE(stripe_event_id, event_id));
CREATE INDEX error_logs_recent ON error_logs (created_at);
CREATE INDEX error_logs_unresolved ON error_logs (created_at) WHERE NOT resolved;
ALTER TABLE error_logs ENABLE ROW LEVEL SECURITY;
CREATE POLICY sluice_healthd ON error_logs TO sluice_healthd USING (true) WITH CHECK (true);
CREATE POLICY sluice_ingest ON error_logs TO sluice_ingest USING (true) WITH CHECK (true);
CREATE POLICY sluice_migrator ON error_logs TO sluice_migrator USING (true) WITH CHECK (true);
CREATE POLICY sluice_operator ON error_logs TO sluice_operator USING (true) WITH CHECK (true);
CREATE POLICY sluice_processor ON error_logs TO sluice_processor USING (true) WITH CHECK (true);
CREATE POLICY sluice_reconciler ON error_logs TO sluice_reconciler USING (true) WITH CHECK (true);
GRANT INSERT ON error_logs TO sluice_healthd;
GRANT INSERT ON error_logs TO sluice_ingest;
GRANT ALL ON error_logs TO sluice_migrator;
GRANT SELECT ON error_logs TO sluice_operator;
GRANT INSERT ON error_logs TO sluice_processor;
GRANT INSERT ON error_logs TO sluice_reconciler;
GRANT SELECT (severity, kind, resolved, resolved_at, service, created_at) ON error_logs TO sluice_healthd;

-- A payment (pi_, cs_ without intent, ch_ without intent) or a link on the way to one (in_, sub_).
CREATE TABLE payment (
    scope         text NOT NULL,                                      -- StripeEvent.scope
    payment_id    text NOT NULL,
    parent_id     text,                                               -- in_ of a pi_, sub_ of an in_: where a binding may come from
    events_id     text,                                               -- the events row it is bound to, own binding or inherited
    bound_by      text,                                               -- tenant, metadata, reference, stored; inherited:<parent>
    status        text,                                               -- NULL for in_ and sub_
    rank          smallint,                                           -- place of status in the order of an events row; NULL for in_ and sub_
    awaits_event  boolean NOT NULL DEFAULT false,                     -- bound to a row that did not exist when last looked at
    updated_at    timestamptz NOT NULL DEFAULT now(),
    awaits        text,                                               -- keys of rows that would be preferred, each on a line
    opened_at     timestamptz DEFAULT now(),                          -- since when a row that appears may move it; NULL: none can
    PRIMARY KEY (scope, payment_id)
) WITH (autovacuum_vacuum_scale_factor=0.01, autovacuum_vacuum_threshold=5000, autovacuum_analyze_scale_factor=0.02, autovacuum_vacuum_cost_limit=2000);
CREATE INDEX payment_awaiting ON payment (events_id) WHERE awaits_event;
CREATE INDEX payment_child ON payment (scope, parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX payment_disputed ON payment (scope, payment_id) WHERE status = 'disputed'::text;
CREATE INDEX payment_of_event ON payment (events_id, scope, rank, payment_id) WHERE events_id IS NOT NULL AND rank IS NOT NULL;
CREATE INDEX payment_open ON payment (opened_at, scope, payment_id) WHERE opened_at IS NOT NULL;
ALTER TABLE payment ENABLE ROW LEVEL SECURITY;
CREATE POLICY sluice_healthd ON payment TO sluice_healthd USING (true) WITH CHECK (true);
CREATE POLICY sluice_migrator ON payment TO sluice_migrator USING (true) WITH CHECK (true);
CREATE POLICY sluice_operator ON payment TO sluice_operator USING (true) WITH CHECK (true);
CREATE POLICY sluice_processor ON payment TO sluice_processor USING (true) WITH CHECK (true);
CREATE POLICY sluice_reconciler ON payment TO sluice_reconciler USING (true) WITH CHECK (true);
GRANT ALL ON payment TO sluice_migrator;
GRANT SELECT ON payment TO sluice_operator;
GRANT INSERT, SELECT, UPDATE ON payment TO sluice_processor;
GRANT SELECT (status, rank, awaits_event, updated_at) ON payment TO sluice_healthd;
GRANT SELECT (scope) ON payment TO sluice_reconciler;

-- The ledger: what one Stripe event says of one payment. Append-only.
CREATE TABLE payment_fact (
    id                 bigint GENERATED ALWAYS AS IDENTITY,
    scope              text NOT NULL,
    payment_id         text NOT NULL,
    stripe_event_id    text NOT NULL,                                 -- key of webhook_logs
    said_at            timestamptz NOT NULL,                          -- event.created
    kind               text NOT NULL,                                 -- see sluice/payments/facts.py
    object_id          text,                                          -- the refund, dispute, charge or session it is about
    status             text,                                          -- that object's own status, where it has one
    amount             bigint,                                        -- smallest currency unit
    amount_captured    bigint,
    currency           text,
    object_created_at  timestamptz,
    parent_id          text,
    names_event        text,
    named_by           text,
    refers_to          text,                                          -- client_reference_id, where metadata name another row
    amount_released    bigint,                                        -- charges: what a partial capture let go of a hold
    destination        text,                                          -- the connected account that the platform's charge pays
    on_behalf_of       text,                                          -- the connected account in whose name the platform charges
    PRIMARY KEY (id),
    UNIQUE (scope, payment_id, stripe_event_id)
);
CREATE INDEX payment_fact_event ON payment_fact (stripe_event_id);
CREATE INDEX payment_fact_object ON payment_fact USING brin (object_id text_bloom_ops (n_distinct_per_range='1500')) WITH (pages_per_range='32', autosummarize='on');
ALTER TABLE payment_fact ENABLE ROW LEVEL SECURITY;
CREATE POLICY sluice_migrator ON payment_fact TO sluice_migrator USING (true) WITH CHECK (true);
CREATE POLICY sluice_operator ON payment_fact TO sluice_operator USING (true) WITH CHECK (true);
CREATE POLICY sluice_processor ON payment_fact TO sluice_processor USING (true) WITH CHECK (true);
GRANT ALL ON payment_fact TO sluice_migrator;
GRANT SELECT ON payment_fact TO sluice_operator;
GRANT INSERT, SELECT ON payment_fact TO sluice_processor;

CREATE TABLE subscription (
    scope                 text NOT NULL,
    subscription_id       text NOT NULL,
    status                text NOT NULL,
    customer_id           text,
    events_id             text,
    current_period_end    timestamptz,
    cancel_at_period_end  boolean,
    said_at               timestamptz NOT NULL,
    stripe_event_id       text NOT NULL,
    updated_at            timestamptz NOT NULL DEFAULT now(),
    cancel_at             timestamptz,
    canceled_at           timestamptz,
    ended_at              timestamptz,
    trial_end             timestamptz,
    newest_second         jsonb NOT NULL DEFAULT '{}',                -- the status that each event of the second said_at told, by its id
    PRIMARY KEY (scope, subscription_id)
) WITH (autovacuum_vacuum_scale_factor=0.02);
ALTER TABLE subscription ENABLE ROW LEVEL SECURITY;
CREATE POLICY sluice_migrator ON subscription TO sluice_migrator USING (true) WITH CHECK (true);
CREATE POLICY sluice_processor ON subscription TO sluice_processor USING (true) WITH CHECK (true);
GRANT ALL ON subscription TO sluice_migrator;
GRANT INSERT, SELECT, UPDATE ON subscription TO sluice_processor;

CREATE TABLE invoice (
    scope            text NOT NULL,
    invoice_id       text NOT NULL,
    status           text NOT NULL,
    subscription_id  text,
    customer_id      text,
    amount_due       bigint,
    amount_paid      bigint,
    currency         text,
    said_at          timestamptz NOT NULL,
    stripe_event_id  text NOT NULL,
    updated_at       timestamptz NOT NULL DEFAULT now(),
    newest_second    jsonb NOT NULL DEFAULT '{}',                     -- as that of subscription
    PRIMARY KEY (scope, invoice_id)
) WITH (autovacuum_vacuum_scale_factor=0.02);
ALTER TABLE invoice ENABLE ROW LEVEL SECURITY;
CREATE POLICY sluice_migrator ON invoice TO sluice_migrator USING (true) WITH CHECK (true);
CREATE POLICY sluice_processor ON invoice TO sluice_processor USING (true) WITH CHECK (true);
GRANT ALL ON invoice TO sluice_migrator;
GRANT INSERT, SELECT, UPDATE ON invoice TO sluice_processor;

-- What one healthd answered during one stretch of time, a minute at most. Append-only; healthd deletes what is old.
CREATE TABLE health_verdict (
    id             bigint GENERATED ALWAYS AS IDENTITY,
    healthd        text NOT NULL,                                     -- one for each start of each healthd
    began_at       timestamptz NOT NULL,
    ended_at       timestamptz NOT NULL,
    status         text NOT NULL,                                     -- healthy, degraded (200); unknown, unhealthy (503)
    reasons        text[] NOT NULL,                                   -- all that were seen in that time
    pool_timeouts  integer NOT NULL,                                  -- waits for a connection that timed out, in all services
    errors_lost    integer NOT NULL,                                  -- reports that did not become rows of error_logs, in all services
    PRIMARY KEY (id)
);
CREATE INDEX health_verdict_ended ON health_verdict (ended_at);
ALTER TABLE health_verdict ENABLE ROW LEVEL SECURITY;
CREATE POLICY sluice_healthd ON health_verdict TO sluice_healthd USING (true) WITH CHECK (true);
CREATE POLICY sluice_migrator ON health_verdict TO sluice_migrator USING (true) WITH CHECK (true);
CREATE POLICY sluice_operator ON health_verdict TO sluice_operator USING (true) WITH CHECK (true);
CREATE POLICY sluice_reconciler ON health_verdict TO sluice_reconciler USING (true) WITH CHECK (true);
GRANT DELETE, INSERT, SELECT ON health_verdict TO sluice_healthd;
GRANT ALL ON health_verdict TO sluice_migrator;
GRANT SELECT ON health_verdict TO sluice_operator;
GRANT SELECT (ended_at, status) ON health_verdict TO sluice_reconciler;

-- sluice send --burst. Append-only.
CREATE TABLE webhook_load_test (
    id               bigint GENERATED ALWAYS AS IDENTITY,
    ended_at         timestamptz NOT NULL DEFAULT now(),
    connections      integer NOT NULL,                                -- at once
    sent             integer NOT NULL,
    accepted         integer NOT NULL,                                -- answered 2xx at the first try
    slowest_seconds  double precision NOT NULL,
    PRIMARY KEY (id)
);
ALTER TABLE webhook_load_test ENABLE ROW LEVEL SECURITY;
CREATE POLICY sluice_healthd ON webhook_load_test TO sluice_healthd USING (true) WITH CHECK (true);
CREATE POLICY sluice_migrator ON webhook_load_test TO sluice_migrator USING (true) WITH CHECK (true);
CREATE POLICY sluice_operator ON webhook_load_test TO sluice_operator USING (true) WITH CHECK (true);
GRANT SELECT ON webhook_load_test TO sluice_healthd;
GRANT ALL ON webhook_load_test TO sluice_migrator;
GRANT SELECT ON webhook_load_test TO sluice_operator;

-- One row for each account in each mode that is listed. Times are Stripe's.
CREATE TABLE reconcile_account (
    livemode             boolean NOT NULL,
    account              text NOT NULL,                               -- acct_… of a connected account, or platform
    complete_until       timestamptz NOT NULL,                        -- what Stripe created before is in webhook_logs
    newest_id            text,                                        -- the newest event that the last pass saw
    passed_at            timestamptz,                                 -- when that pass ended, by our clock; NULL: there was none
    filled               bigint NOT NULL DEFAULT 0,                   -- webhooks that had not arrived and were recorded, ever
    refused              integer NOT NULL DEFAULT 0,                  -- of the last pass: what could not be recorded
    pass_from            timestamptz,                                 -- the pass under way; NULL: none is
    pass_until           timestamptz,
    pass_cursor          text,
    pass_newest_id       text,
    pass_listed          bigint NOT NULL DEFAULT 0,
    pass_missing         bigint NOT NULL DEFAULT 0,
    pass_refused         integer NOT NULL DEFAULT 0,
    pass_oldest_missing  timestamptz,
    problem              text,                                        -- why the newest pass did not get on; NULL: it did
    problem_text         text,
    problem_since        timestamptz,
    updated_at           timestamptz NOT NULL DEFAULT now(),
    is_listed            boolean NOT NULL DEFAULT true,               -- false: left out now; the watermark stays for its return
    thin_complete_until  timestamptz,                                 -- as complete_until, of events that are thin alone; NULL: never listed
    open_ids             text[] NOT NULL DEFAULT '{}'::text[],        -- events that PostgreSQL refused, until they are in webhook_logs
    open_since           timestamptz,                                 -- when the first of those was refused; NULL: there is none
    PRIMARY KEY (livemode, account)
);
ALTER TABLE reconcile_account ENABLE ROW LEVEL SECURITY;
CREATE POLICY sluice_healthd ON reconcile_account TO sluice_healthd USING (true) WITH CHECK (true);
CREATE POLICY sluice_migrator ON reconcile_account TO sluice_migrator USING (true) WITH CHECK (true);
CREATE POLICY sluice_operator ON reconcile_account TO sluice_operator USING (true) WITH CHECK (true);
CREATE POLICY sluice_reconciler ON reconcile_account TO sluice_reconciler USING (true) WITH CHECK (true);
GRANT SELECT ON reconcile_account TO sluice_healthd;
GRANT ALL ON reconcile_account TO sluice_migrator;
GRANT SELECT ON reconcile_account TO sluice_operator;
GRANT INSERT, SELECT, UPDATE ON reconcile_account TO sluice_reconciler;

-- Which reconciler works.
CREATE TABLE reconcile_lease (
    is_only  boolean DEFAULT true,
    holder   text NOT NULL DEFAULT '',
    until    timestamptz NOT NULL DEFAULT '-infinity',
    PRIMARY KEY (is_only),
    CHECK (is_only)
);
ALTER TABLE reconcile_lease ENABLE ROW LEVEL SECURITY;
CREATE POLICY sluice_migrator ON reconcile_lease TO sluice_migrator USING (true) WITH CHECK (true);
CREATE POLICY sluice_reconciler ON reconcile_lease TO sluice_reconciler USING (true) WITH CHECK (true);
GRANT ALL ON reconcile_lease TO sluice_migrator;
GRANT SELECT ON reconcile_lease TO sluice_reconciler;
GRANT UPDATE (holder, until) ON reconcile_lease TO sluice_reconciler;

-- Each webhook that Stripe's API gave, because none had brought it.
CREATE TABLE webhook_found (
    stripe_event_id  text,
    source           text NOT NULL,                                   -- reconcile: listed; thin: the full event of a thin one; backfill: an object
    asked_by         text,                                            -- the thin event
    found_at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (stripe_event_id)
);
CREATE INDEX webhook_found_recent ON webhook_found (found_at);
ALTER TABLE webhook_found ENABLE ROW LEVEL SECURITY;
CREATE POLICY sluice_healthd ON webhook_found TO sluice_healthd USING (true) WITH CHECK (true);
CREATE POLICY sluice_migrator ON webhook_found TO sluice_migrator USING (true) WITH CHECK (true);
CREATE POLICY sluice_operator ON webhook_found TO sluice_operator USING (true) WITH CHECK (true);
CREATE POLICY sluice_reconciler ON webhook_found TO sluice_reconciler USING (true) WITH CHECK (true);
GRANT ALL ON webhook_found TO sluice_migrator;
GRANT SELECT ON webhook_found TO sluice_operator;
GRANT INSERT, SELECT ON webhook_found TO sluice_reconciler;
GRANT SELECT (source, found_at) ON webhook_found TO sluice_healthd;

-- Each thin event that waits for its full event.
CREATE TABLE thin_fetch (
    stripe_event_id  text,
    asked_at         timestamptz NOT NULL DEFAULT now(),
    tries            integer NOT NULL DEFAULT 0,
    next_try_at      timestamptz NOT NULL DEFAULT now(),
    problem          text,
    PRIMARY KEY (stripe_event_id)
);
CREATE INDEX thin_fetch_due ON thin_fetch (next_try_at);
ALTER TABLE thin_fetch ENABLE ROW LEVEL SECURITY;
CREATE POLICY sluice_healthd ON thin_fetch TO sluice_healthd USING (true) WITH CHECK (true);
CREATE POLICY sluice_migrator ON thin_fetch TO sluice_migrator USING (true) WITH CHECK (true);
CREATE POLICY sluice_operator ON thin_fetch TO sluice_operator USING (true) WITH CHECK (true);
CREATE POLICY sluice_processor ON thin_fetch TO sluice_processor USING (true) WITH CHECK (true);
CREATE POLICY sluice_reconciler ON thin_fetch TO sluice_reconciler USING (true) WITH CHECK (true);
GRANT SELECT ON thin_fetch TO sluice_healthd;
GRANT ALL ON thin_fetch TO sluice_migrator;
GRANT SELECT ON thin_fetch TO sluice_operator;
GRANT INSERT, SELECT ON thin_fetch TO sluice_processor;
GRANT SELECT ON thin_fetch TO sluice_reconciler;
GRANT UPDATE (tries, next_try_at, problem) ON thin_fetch TO sluice_reconciler;

-- How far `sluice backfill` got with each list of objects. Times are Stripe's.
CREATE TABLE backfill_walk (
    livemode    boolean NOT NULL,
    account     text NOT NULL,                                        -- acct_… of a connected account, or platform
    kind        text NOT NULL,                                        -- payment_intents, charges, …
    since       timestamptz NOT NULL,                                 -- how far back it is to go
    until       timestamptz NOT NULL,                                 -- when it began
    reached     timestamptz,                                          -- what was created from then to until is recorded; NULL: there was nothing
    listed      bigint NOT NULL,
    filled      bigint NOT NULL,                                      -- objects whose state was not recorded before
    refused     bigint NOT NULL,
    ended_at    timestamptz,                                          -- NULL: it goes on when it is run again
    updated_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (livemode, account, kind)
);
ALTER TABLE backfill_walk ENABLE ROW LEVEL SECURITY;
CREATE POLICY sluice_migrator ON backfill_walk TO sluice_migrator USING (true) WITH CHECK (true);
CREATE POLICY sluice_reconciler ON backfill_walk TO sluice_reconciler USING (true) WITH CHECK (true);
GRANT ALL ON backfill_walk TO sluice_migrator;
GRANT INSERT, SELECT, UPDATE ON backfill_walk TO sluice_reconciler;

-- What an operator decided. What is written stays: a trigger lets NULL become a value and nothing else.
CREATE TABLE operation (
    id            bigint GENERATED ALWAYS AS IDENTITY,
    verb          text NOT NULL,
    filter        jsonb NOT NULL,                                     -- what the set was chosen by
    reason        text NOT NULL,
    person        text NOT NULL,                                      -- who says they do it
    login         text NOT NULL DEFAULT SESSION_USER,                 -- whose password was used
    rate          integer,                                            -- items a second at most; NULL: as fast as it goes
    started_at    timestamptz NOT NULL DEFAULT now(),
    ended_at      timestamptz,                                        -- when its last item was done
    cancelled_at  timestamptz,
    cancelled_by  text,
    undoes        bigint,                                             -- of undo: the operation that it undoes
    handler       text,
    PRIMARY KEY (id),
    CHECK ((verb = 'undo'::text) = (undoes IS NOT NULL)),
    CHECK (btrim(person) <> ''::text),
    CHECK (rate > 0),
    CHECK (btrim(reason) <> ''::text),
    FOREIGN KEY (undoes) REFERENCES operation(id),
    CHECK (verb = ANY (ARRAY['pause'::text, 'replay'::text, 'resolve'::text, 'resume'::text, 'retry'::text, 'undo'::text, 'write-off'::text]))
);
CREATE INDEX operation_of_handler ON operation (id) WHERE handler IS NOT NULL AND ended_at IS NULL AND cancelled_at IS NULL;
ALTER TABLE operation ENABLE ROW LEVEL SECURITY;
CREATE POLICY sluice_migrator ON operation TO sluice_migrator USING (true) WITH CHECK (true);
CREATE POLICY sluice_operator ON operation TO sluice_operator USING (true) WITH CHECK (true);
CREATE POLICY sluice_processor ON operation TO sluice_processor USING (true) WITH CHECK (true);
GRANT ALL ON operation TO sluice_migrator;
GRANT SELECT ON operation TO sluice_operator;
GRANT INSERT (verb, filter, reason, person, rate, undoes, handler) ON operation TO sluice_operator;
GRANT SELECT (id, rate, ended_at, cancelled_at, handler) ON operation TO sluice_processor;
GRANT UPDATE (ended_at) ON operation TO sluice_processor;

-- Each row that the operation is about, chosen when it started; the last four are written when it was the row's turn.
CREATE TABLE operation_item (
    operation_id  bigint NOT NULL,
    position      bigint NOT NULL,
    item_id       text NOT NULL,                                      -- webhook_logs.stripe_event_id; of resolve error_logs.id
    done_at       timestamptz,
    result        text,
    before        jsonb,
    after         jsonb,
    PRIMARY KEY (operation_id, "position"),
    CHECK ((done_at IS NULL) = (result IS NULL)),
    FOREIGN KEY (operation_id) REFERENCES operation(id),
    UNIQUE (operation_id, item_id),
    CHECK (result = ANY (ARRAY['changed'::text, 'unfit'::text, 'held'::text, 'missing'::text, 'failed'::text]))
);
CREATE INDEX operation_item_of ON operation_item (item_id);
CREATE INDEX operation_item_open ON operation_item (operation_id, "position") WHERE done_at IS NULL;
ALTER TABLE operation_item ENABLE ROW LEVEL SECURITY;
CREATE POLICY sluice_migrator ON operation_item TO sluice_migrator USING (true) WITH CHECK (true);
CREATE POLICY sluice_operator ON operation_item TO sluice_operator USING (true) WITH CHECK (true);
CREATE POLICY sluice_processor ON operation_item TO sluice_processor USING (true) WITH CHECK (true);
GRANT ALL ON operation_item TO sluice_migrator;
GRANT SELECT ON operation_item TO sluice_operator;
GRANT SELECT ON operation_item TO sluice_processor;
GRANT INSERT (operation_id, "position", item_id) ON operation_item TO sluice_operator;
GRANT UPDATE (done_at, result, before, after) ON operation_item TO sluice_processor;

-- What is let wait. Who decided, and why, stands in the two operations. What is written stays, as in operation.
CREATE TABLE pause (
    id          bigint GENERATED ALWAYS AS IDENTITY,
    kind        text NOT NULL,
    value       text,                                                 -- glob of types, connected account, or handler; of all NULL
    began_at    timestamptz NOT NULL DEFAULT now(),
    began_by    bigint NOT NULL,
    ended_at    timestamptz,                                          -- NULL: it is in force
    ended_by    bigint,
    emptied_at  timestamptz,                                          -- when no webhook waited for it any more
    PRIMARY KEY (id),
    FOREIGN KEY (began_by) REFERENCES operation(id),
    CHECK ((kind = 'all'::text) = (value IS NULL)),
    CHECK ((ended_at IS NULL) = (ended_by IS NULL)),
    CHECK (emptied_at IS NULL OR ended_at IS NOT NULL),
    FOREIGN KEY (ended_by) REFERENCES operation(id),
    CHECK (kind = ANY (ARRAY['all'::text, 'type'::text, 'account'::text, 'handler'::text])),
    CHECK (btrim(value) <> ''::text)
);
CREATE UNIQUE INDEX pause_in_force ON pause (kind, COALESCE(value, ''::text)) WHERE ended_at IS NULL;
CREATE INDEX pause_open ON pause (id) WHERE emptied_at IS NULL;
ALTER TABLE pause ENABLE ROW LEVEL SECURITY;
CREATE POLICY sluice_healthd ON pause TO sluice_healthd USING (true) WITH CHECK (true);
CREATE POLICY sluice_migrator ON pause TO sluice_migrator USING (true) WITH CHECK (true);
CREATE POLICY sluice_operator ON pause TO sluice_operator USING (true) WITH CHECK (true);
CREATE POLICY sluice_processor ON pause TO sluice_processor USING (true) WITH CHECK (true);
GRANT ALL ON pause TO sluice_migrator;
GRANT SELECT ON pause TO sluice_operator;
GRANT SELECT (id, kind, began_at, ended_at, emptied_at) ON pause TO sluice_healthd;
GRANT SELECT (id, kind, value, ended_at, emptied_at) ON pause TO sluice_processor;

-- Each webhook that waits for the end of a pause, in the order in which they came to wait.
CREATE TABLE paused_webhook (
    stripe_event_id  text,
    position         bigint GENERATED ALWAYS AS IDENTITY,
    pause_id         bigint NOT NULL,
    paused_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (stripe_event_id),
    FOREIGN KEY (pause_id) REFERENCES pause(id)
);
CREATE INDEX paused_webhook_of ON paused_webhook (pause_id, "position");
ALTER TABLE paused_webhook ENABLE ROW LEVEL SECURITY;
CREATE POLICY sluice_healthd ON paused_webhook TO sluice_healthd USING (true) WITH CHECK (true);
CREATE POLICY sluice_migrator ON paused_webhook TO sluice_migrator USING (true) WITH CHECK (true);
CREATE POLICY sluice_operator ON paused_webhook TO sluice_operator USING (true) WITH CHECK (true);
CREATE POLICY sluice_processor ON paused_webhook TO sluice_processor USING (true) WITH CHECK (true);
GRANT ALL ON paused_webhook TO sluice_migrator;
GRANT SELECT ON paused_webhook TO sluice_operator;
GRANT SELECT ON paused_webhook TO sluice_processor;
GRANT SELECT ("position", pause_id, paused_at) ON paused_webhook TO sluice_healthd;

-- Handlers that processors have: what may be asked for.
CREATE TABLE webhook_handler (
    name             text,                                            -- module.function
    types            text[] NOT NULL,                                 -- of the events that it takes
    organiser_types  text[] NOT NULL,                                 -- of these, those that it takes of organisers too
    acts_outside     boolean NOT NULL,                                -- it says that it has effects outside PostgreSQL
    first_seen_at    timestamptz NOT NULL DEFAULT now(),
    last_seen_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (name)
);
ALTER TABLE webhook_handler ENABLE ROW LEVEL SECURITY;
CREATE POLICY sluice_migrator ON webhook_handler TO sluice_migrator USING (true) WITH CHECK (true);
CREATE POLICY sluice_operator ON webhook_handler TO sluice_operator USING (true) WITH CHECK (true);
CREATE POLICY sluice_processor ON webhook_handler TO sluice_processor USING (true) WITH CHECK (true);
GRANT ALL ON webhook_handler TO sluice_migrator;
GRANT SELECT ON webhook_handler TO sluice_operator;
GRANT INSERT, SELECT, UPDATE ON webhook_handler TO sluice_processor;

-- Somebody asks what a retry or a replay would change. A processor runs it, rolls it back, and leaves the answer here
-- for a day.
CREATE TABLE webhook_rehearsal (
    id        bigint GENERATED ALWAYS AS IDENTITY,
    verb      text NOT NULL,
    handler   text,                                                   -- this one alone; NULL: all, as a retry or replay would
    items     text[] NOT NULL,                                        -- webhook_logs.stripe_event_id, in the order of the run
    found     bigint NOT NULL,                                        -- webhooks that the filter finds; items are the first of them
    person    text NOT NULL,
    login     text NOT NULL DEFAULT SESSION_USER,
    asked_at  timestamptz NOT NULL DEFAULT now(),
    starts    integer NOT NULL DEFAULT 0,                             -- runs that have begun
    at_item   text,                                                   -- the webhook that runs, where each runs alone
    done_at   timestamptz,
    answer    jsonb,                                                  -- what would change
    problem   text,                                                   -- why there is no answer
    PRIMARY KEY (id),
    CHECK ((done_at IS NULL) = (answer IS NULL AND problem IS NULL)),
    CHECK (btrim(person) <> ''::text),
    CHECK (verb = ANY (ARRAY['retry'::text, 'replay'::text]))
);
CREATE INDEX webhook_rehearsal_open ON webhook_rehearsal (id) WHERE done_at IS NULL;
ALTER TABLE webhook_rehearsal ENABLE ROW LEVEL SECURITY;
CREATE POLICY sluice_migrator ON webhook_rehearsal TO sluice_migrator USING (true) WITH CHECK (true);
CREATE POLICY sluice_operator ON webhook_rehearsal TO sluice_operator USING (true) WITH CHECK (true);
CREATE POLICY sluice_processor ON webhook_rehearsal TO sluice_processor USING (true) WITH CHECK (true);
GRANT ALL ON webhook_rehearsal TO sluice_migrator;
GRANT SELECT ON webhook_rehearsal TO sluice_operator;
GRANT DELETE, SELECT ON webhook_rehearsal TO sluice_processor;
GRANT INSERT (verb, handler, items, found, person) ON webhook_rehearsal TO sluice_operator;
GRANT UPDATE (starts, at_item, done_at, answer, problem) ON webhook_rehearsal TO sluice_processor;

-- Runs of a handler over a webhook that began and did not end: as solo_starts of webhook_logs.
CREATE TABLE operation_start (
    operation_id  bigint NOT NULL,
    position      bigint NOT NULL,
    starts        integer NOT NULL DEFAULT 1,
    PRIMARY KEY (operation_id, "position"),
    FOREIGN KEY (operation_id, "position") REFERENCES operation_item(operation_id, "position")
);
ALTER TABLE operation_start ENABLE ROW LEVEL SECURITY;
CREATE POLICY sluice_migrator ON operation_start TO sluice_migrator USING (true) WITH CHECK (true);
CREATE POLICY sluice_processor ON operation_start TO sluice_processor USING (true) WITH CHECK (true);
GRANT ALL ON operation_start TO sluice_migrator;
GRANT DELETE, INSERT, SELECT, UPDATE ON operation_start TO sluice_processor;

-- Each view of a body in the console. Append-only, by a trigger.
CREATE TABLE body_view (
    id               bigint GENERATED ALWAYS AS IDENTITY,
    stripe_event_id  text NOT NULL,
    person           text NOT NULL,                                   -- as whom the proxy, or the session, knows them
    login            text NOT NULL DEFAULT SESSION_USER,              -- the console's own
    viewed_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id),
    CHECK (btrim(person) <> ''::text)
);
CREATE INDEX body_view_event ON body_view (stripe_event_id);
ALTER TABLE body_view ENABLE ROW LEVEL SECURITY;
CREATE POLICY sluice_migrator ON body_view TO sluice_migrator USING (true) WITH CHECK (true);
CREATE POLICY sluice_operator ON body_view TO sluice_operator USING (true) WITH CHECK (true);
GRANT ALL ON body_view TO sluice_migrator;
GRANT SELECT ON body_view TO sluice_operator;
GRANT INSERT (stripe_event_id, person) ON body_view TO sluice_operator;

-- The bytes that Stripe signed. The id begins with the day of receipt, YYYYMMDD in UTC, so that it names its partition
-- too, webhook_body_YYYYMMDD; ten digits follow.
CREATE TABLE webhook_body (
    id    bigint GENERATED BY DEFAULT AS IDENTITY,
    body  bytea NOT NULL,
    PRIMARY KEY (id)
) PARTITION BY RANGE (id);
ALTER TABLE webhook_body ALTER COLUMN body SET STORAGE EXTERNAL;
ALTER TABLE webhook_body ENABLE ROW LEVEL SECURITY;
CREATE POLICY sluice_ingest ON webhook_body TO sluice_ingest USING (true) WITH CHECK (true);
CREATE POLICY sluice_migrator ON webhook_body TO sluice_migrator USING (true) WITH CHECK (true);
CREATE POLICY sluice_reconciler ON webhook_body TO sluice_reconciler USING (true) WITH CHECK (true);
GRANT INSERT ON webhook_body TO sluice_ingest;
GRANT ALL ON webhook_body TO sluice_migrator;
GRANT INSERT ON webhook_body TO sluice_reconciler;
GRANT USAGE ON SEQUENCE webhook_body_id_seq TO sluice_ingest;
GRANT USAGE ON SEQUENCE webhook_body_id_seq TO sluice_reconciler;

-- On which days bodies are written to partitions; on all others, and while it is not known, to webhook_logs.body, so
-- that a partition that is missing holds up nobody.
CREATE TABLE body_storage (
    is_only           boolean DEFAULT true,
    partitions_from   date NOT NULL,                                  -- the first such day, in UTC
    partitions_until  date NOT NULL DEFAULT '-infinity',              -- the first day without a partition made ahead
    kept_from         bigint NOT NULL DEFAULT 0,                      -- webhook_body.id; what was below was dropped
    PRIMARY KEY (is_only),
    CHECK (is_only)
);
ALTER TABLE body_storage ENABLE ROW LEVEL SECURITY;
CREATE POLICY sluice_healthd ON body_storage TO sluice_healthd USING (true) WITH CHECK (true);
CREATE POLICY sluice_ingest ON body_storage TO sluice_ingest USING (true) WITH CHECK (true);
CREATE POLICY sluice_maintainer ON body_storage TO sluice_maintainer USING (true) WITH CHECK (true);
CREATE POLICY sluice_migrator ON body_storage TO sluice_migrator USING (true) WITH CHECK (true);
CREATE POLICY sluice_operator ON body_storage TO sluice_operator USING (true) WITH CHECK (true);
CREATE POLICY sluice_reconciler ON body_storage TO sluice_reconciler USING (true) WITH CHECK (true);
GRANT SELECT ON body_storage TO sluice_healthd;
GRANT SELECT ON body_storage TO sluice_ingest;
GRANT SELECT ON body_storage TO sluice_maintainer;
GRANT ALL ON body_storage TO sluice_migrator;
GRANT SELECT ON body_storage TO sluice_operator;
GRANT SELECT ON body_storage TO sluice_reconciler;
