"""Who sent a webhook: signatures, organisers' secrets, refusals."""
