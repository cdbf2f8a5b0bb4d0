"""Operations: what a person decides on a set of webhooks or errors, item by item and on record."""
