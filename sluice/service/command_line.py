"""The command line of a service: ``--help`` with its settings, ``--version``, and nothing else."""

import argparse
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from sluice.runtime.version import version

_NONE: Mapping[str, str] = MappingProxyType({})


def explain(
    name: str,
    purpose: str,
    settings_type: type[BaseModel],
    *,
    besides: Mapping[str, str] = _NONE,
    arguments: Sequence[str] | None = None,
) -> None:
    """
    Answer ``--help`` or ``--version`` and end; refuse every other argument.

    Args:
        besides: settings with their descriptions that ``settings_type`` does not hold.
        arguments: by default those of this process.
    """
    described = dict(besides)
    for field_name, field in settings_type.model_fields.items():
        is_required = field.default is PydanticUndefined
        described[field_name.upper()] = f"{field.description}{' (required)' if is_required else ''}"
    lines = "\n".join(f"  {setting:28}{description}" for setting, description in described.items())
    parser = argparse.ArgumentParser(
        prog=name,
        description=purpose,
        epilog=f"settings, from the environment (NAME, or NAME_FILE with the path of a file):\n{lines}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"{name} {version()}")
    parser.parse_args(arguments)
