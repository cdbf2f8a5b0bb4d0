"""Open files: each connection is one, and shells and container runtimes often allow only 1024."""

import sys

_OWN_FILES = 256


def raise_open_file_limit(connections: int) -> None:
    """Raise this process's soft limit as far as its hard limit goes, if so many connections need it."""
    if sys.platform == "win32":
        return
    import resource  # noqa: PLC0415  not on every platform

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _OWN_FILES
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
