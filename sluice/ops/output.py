"""JSON for machines."""

from dataclasses import asdict, is_dataclass

import click
import orjson

from sluice.runtime.printable import printable_json


def print_json(answer: object) -> None:
    """Print a value of dataclasses, mappings and sequences as indented, printable JSON; times in UTC."""
    document = asdict(answer) if is_dataclass(answer) and not isinstance(answer, type) else answer
    text = orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS, default=list).decode()
    click.echo(printable_json(text))
