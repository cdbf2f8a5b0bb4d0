"""JSON for machines."""

from dataclasses import asdict, is_dataclass

import click
import orjson


def print_json(answer: object) -> None:
    """Print a value of dataclasses, mappings and sequences as indented JSON; times in UTC."""
    document = asdict(answer) if is_dataclass(answer) and not isinstance(answer, type) else answer
    click.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS, default=list).decode())
