-- take_turn --
-- Tried again and again rather than waited for: a waiting statement would keep a concurrent index from being finished.
SELECT pg_try_advisory_lock(hashtextextended('sluice migrations', 0));

-- end_turn --
SELECT pg_advisory_unlock(hashtextextended('sluice migrations', 0));

-- has_record --
SELECT to_regclass('sluice_migration') IS NOT NULL;

-- read_applied --
SELECT set_name, file_name, checksum FROM sluice_migration;

-- record_applied --
-- $1 set  $2 file  $3 SHA-256. A file may run again: see MigrationFile.
INSERT INTO sluice_migration (set_name, file_name, checksum) VALUES ($1, $2, $3)
ON CONFLICT (set_name, file_name) DO UPDATE
SET checksum = excluded.checksum, applied_at = excluded.applied_at, applied_by = excluded.applied_by;

-- find_unfinished --
-- $1 names of indexes. Those that a build left behind.
SELECT i.indexrelid::regclass::text AS name
FROM pg_index i
WHERE NOT i.indisvalid AND i.indexrelid IN (SELECT to_regclass(name) FROM unnest($1::text[]) AS name);
