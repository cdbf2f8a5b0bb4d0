-- Whether a webhook says something of a payment that is disputed now; its body may be evidence.
CREATE OR REPLACE FUNCTION sluice_is_disputed(event_id text) RETURNS boolean
    LANGUAGE sql STABLE AS $function$
    SELECT EXISTS (
        SELECT FROM payment_fact AS fact
        JOIN payment ON payment.scope = fact.scope AND payment.payment_id = fact.payment_id
        WHERE fact.stripe_event_id = event_id AND payment.status = 'disputed'
    )
$function$;
