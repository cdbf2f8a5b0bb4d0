"""Look whether a process still runs."""

import psutil


def has_ended(pid: int) -> bool:
    """Gone, or a zombie that was not reaped yet."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
