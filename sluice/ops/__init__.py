"""The operator's command line: ``sluice status | why | send | migrate``."""
