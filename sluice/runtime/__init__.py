"""How any service runs: settings, signals, probes, logs, metrics."""
