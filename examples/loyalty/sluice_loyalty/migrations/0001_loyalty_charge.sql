-- What customers paid and got back, one row for each charge. Re-runnable, like every migration of Sluice's.
CREATE TABLE IF NOT EXISTS loyalty_charge (
    scope            text NOT NULL,    -- StripeEvent.scope: ids of two accounts, or of test and live, never meet
    charge_id        text NOT NULL,
    customer_id      text NOT NULL,
    amount_captured  bigint NOT NULL,  -- smallest currency unit
    amount_refunded  bigint NOT NULL,
    PRIMARY KEY (scope, charge_id)
);
CREATE INDEX IF NOT EXISTS loyalty_charge_customer ON loyalty_charge (scope, customer_id);

CREATE OR REPLACE VIEW loyalty_balance WITH (security_invoker = true) AS
SELECT scope, customer_id, sum(greatest(amount_captured - amount_refunded, 0) / 100)::bigint AS points
FROM loyalty_charge
GROUP BY scope, customer_id;

-- Only the processor writes here, and on Supabase the public API cannot read it.
ALTER TABLE loyalty_charge ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON loyalty_charge, loyalty_balance FROM PUBLIC;
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'sluice_processor') THEN
        GRANT SELECT, INSERT, UPDATE ON loyalty_charge TO sluice_processor;
        DROP POLICY IF EXISTS loyalty_charge_processor ON loyalty_charge;
        CREATE POLICY loyalty_charge_processor ON loyalty_charge TO sluice_processor USING (true) WITH CHECK (true);
    END IF;
END
$$;
