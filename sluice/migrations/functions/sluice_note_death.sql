CREATE OR REPLACE FUNCTION sluice_note_death() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER AS $function$
BEGIN
    INSERT INTO webhook_death (stripe_event_id, outcome, died_at) VALUES (NEW.stripe_event_id, NEW.outcome, NEW.dead_at);
    RETURN NULL;
END
$function$;
