"""Authenticate a webhook: signatures, organisers' secrets, refusals."""
