"""Import a library without the optional parts that it would load and this process never uses."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Final, cast

HTTP_CLIENTS: Final = ("requests", "httpx", "anyio")
"""Clients that the ``stripe`` library loads where it finds them: a tenth of a service's memory."""


@contextmanager
def not_to_be_found(*names: str) -> Iterator[None]:
    """
    Let an import of these fail as if they were not installed, unless they are imported already.

    Source: https://docs.python.org/3/reference/import.html#the-module-cache
    """
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden, cast("ModuleType", None)))
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
