"""Read stored webhooks again with this release's rules: what an upgrade knows better shows on the rows it concerns."""
