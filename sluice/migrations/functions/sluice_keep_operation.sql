-- Refuses to change or remove what is on record of an operation, or of a view of a body: a column may be written once.
CREATE OR REPLACE FUNCTION sluice_keep_operation() RETURNS trigger
    LANGUAGE plpgsql AS $function$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF NOT EXISTS (
            SELECT
            FROM jsonb_each(to_jsonb(OLD)) AS was
            WHERE was.value <> 'null' AND was.value IS DISTINCT FROM to_jsonb(NEW) -> was.key
        ) THEN
            RETURN NEW;
        END IF;
    END IF;
    IF TG_OP = 'DELETE' AND TG_TABLE_NAME = 'operation_item' THEN
        -- Retention: see sluice_delete_items. Other roles have no right to delete.
        IF EXISTS (SELECT FROM operation AS o WHERE o.id = OLD.operation_id
                                                AND coalesce(o.ended_at, o.cancelled_at) < now() - interval '31 days') THEN
            RETURN OLD;
        END IF;
    END IF;
    RAISE EXCEPTION '% is append-only: what is on record of an operation stays.', TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END
$function$;
