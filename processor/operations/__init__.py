"""Carries out what operators ask of the handlers: rehearsals, and runs of one handler over stored webhooks."""
