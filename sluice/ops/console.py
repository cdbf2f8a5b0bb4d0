"""``sluice console``: the link that lets a person into the console."""

from pathlib import Path
from urllib.parse import quote

import click

from sluice.ops.environment import detect_environment

LINK_FILE = "CONSOLE_LINK_FILE"


@click.command(name="console")
@click.option("--by", "person", envvar="SLUICE_BY", help="Who you are; the console records it with what you do.")
def command(*, person: str | None) -> None:
    """
    Print a link that lets one browser into the console.

    It works once, from the machine that the console runs on; in a cluster that is what `kubectl port-forward` makes of
    yours. Where a proxy says who asks, there is no link: go to the console's address.
    """
    path = detect_environment().get(LINK_FILE)
    if path is None:
        raise click.UsageError(
            f"No console is known that is entered by a link. Set {LINK_FILE} as the console has it, run this where the "
            "console runs, or start a stack here with `make run`."
        )
    try:
        link = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise click.ClickException(f"{path} cannot be read ({error}): is the console running?") from error
    click.echo(f"{link}&by={quote(person.strip())}" if person and person.strip() else link)
