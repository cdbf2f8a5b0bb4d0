"""``sluice send``: the simulator, by hand."""
