"""What ``sluice maintain`` does: partitions ahead, and retention."""
