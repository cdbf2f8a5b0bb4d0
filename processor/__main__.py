"""``python -m processor``: consume the stream and give each event its effect exactly once."""

from collections.abc import Sequence

from processor.app import serve
from processor.assembly import NAME
from processor.settings import ProcessorSettings
from sluice.runtime import output
from sluice.runtime.settings import load
from sluice.service.command_line import explain
from sluice.service.service import run


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the processor until SIGTERM or SIGINT; everything is configured by environment variables."""
    output.protect(NAME)
    purpose = "Consume the stream and give each event its effect exactly once."
    explain("sluice-processor", purpose, ProcessorSettings, arguments=arguments)
    run(NAME, load(ProcessorSettings), serve)


if __name__ == "__main__":
    main()
