"""From a fetch to its effects: batches, transactions, handlers."""
