"""``sluice ls``, ``show``, ``retry``, ``replay``, ``write-off``, ``resolve`` and ``operations``."""
