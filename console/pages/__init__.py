"""The pages: a folder each, with the page's function, its queries and its template."""
