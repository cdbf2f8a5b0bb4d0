"""``python -m processor.operations FD``: the process that the processor starts when operators ask for something."""

import sys

from processor.installed import installed_handlers
from processor.operations.process import run
from processor.settings import ProcessorSettings
from sluice.runtime.settings import load


def main() -> None:
    """Work until nothing is left; the argument is the socket that leads to the processor."""
    settings = load(ProcessorSettings)
    run(settings, installed_handlers(settings), int(sys.argv[1]))


if __name__ == "__main__":
    main()
