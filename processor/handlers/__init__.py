"""
One module for each family of event types; each is found and registered by itself.

All payment families register the same ``apply_facts``, so that a batch costs the ledger's statements once, however
many families its events are of. All of them take organisers' events too, whose facts count for the organiser's row
alone.
"""
