"""Actions: what a verb would be about, why, and then the operation."""
