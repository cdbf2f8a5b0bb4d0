"""How fast Sluice is, always beside something that people use today, in one run on one PostgreSQL and one NATS."""
