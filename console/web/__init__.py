"""The frame of every page: the application, its middlewares, templates and static files."""
