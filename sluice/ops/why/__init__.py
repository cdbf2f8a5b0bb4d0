"""``sluice why``: the whole story of one payment."""
