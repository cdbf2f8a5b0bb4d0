"""The handlers of this distribution; each module is found and registers itself."""
