"""A payment, or a row of ``events``: why it has its status."""
