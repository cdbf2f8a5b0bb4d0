"""``sluice status``: how it stands, and the criteria after a deployment."""
