"""A webhook: everything on record about one of them."""
