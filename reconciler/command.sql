-- forget_accounts --
-- Forgets how far accounts were reconciled. It takes the rights of sluice_migrator.
DELETE FROM reconcile_account RETURNING account;
