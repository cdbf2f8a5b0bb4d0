"""``python -m console``, also ``sluice-console``: pages for people who operate Sluice."""

from functools import partial

from console.app import NAME, serve
from console.settings import ConsoleSettings
from sluice.runtime import output
from sluice.runtime.settings import load
from sluice.service.command_line import explain
from sluice.service.service import run


def main() -> None:
    """Run the console until SIGTERM or SIGINT."""
    output.protect(NAME)
    explain("sluice-console", "Serve pages for people who operate Sluice.", ConsoleSettings)
    settings = load(ConsoleSettings)
    run(NAME, settings, partial(serve, settings))


if __name__ == "__main__":
    main()
