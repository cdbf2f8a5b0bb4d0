"""``sluice why``: the whole history of one payment."""
