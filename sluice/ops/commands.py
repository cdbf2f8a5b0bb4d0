"""The commands, each loaded when it is asked for, so that ``--help`` is quick."""

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType

import click

from sluice.runtime.printable import printable_lines
from sluice.runtime.version import version

_COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        "status": "sluice.ops.status.command",
        "sessions": "sluice.ops.sessions",
        "why": "sluice.ops.why.command",
        "ls": "sluice.ops.operations.webhooks:list_",
        "show": "sluice.ops.operations.webhooks:show",
        "watch": "sluice.ops.operations.watch",
        "export": "sluice.ops.operations.export",
        "events": "sluice.ops.events",
        "doctor": "reconciler.endpoint.command",
        "send": "sluice.ops.send.command",
        "retry": "sluice.ops.operations.verbs:retry",
        "replay": "sluice.ops.operations.verbs:replay",
        "write-off": "sluice.ops.operations.verbs:write_off",
        "resolve": "sluice.ops.operations.verbs:resolve",
        "pause": "sluice.ops.operations.pauses:pause",
        "resume": "sluice.ops.operations.pauses:resume",
        "operations": "sluice.ops.operations.operations:operations",
        "console": "sluice.ops.console",
        "migrate": "sluice.ops.migrate",
        "maintain": "sluice.ops.maintain",
        "rebuild": "processor.rebuild.command",
        "reconcile": "reconciler.command",
        "backfill": "reconciler.backfill.command",
    }
)
EXAMPLES = """\b
Examples:
  sluice status                    how it stands, in one screen
  sluice status --since 48h        the five criteria after a deployment
  sluice why pi_3Qw9…              the whole history of one payment
  sluice ls --state dead           webhooks that need you
  sluice watch --state failed      follow what fails, as it fails
  sluice export --since 30d --format csv > webhooks.csv
  sluice events                    the types that an endpoint must be subscribed to
  sluice doctor                    our endpoint at Stripe, and what is wrong with it
  sluice send --scenario refund_full  a payment's webhooks, as Stripe sends them
  sluice replay evt_1Rk… --diff    which rows would change, from what to what
  sluice replay evt_1Rk… --reason 'handler mended'
  sluice pause --handler shop.points.add_points --reason 'pays twice'
  sluice operations list           what operators did, and why
  sluice console                   a link that lets you into the pages
  sluice migrate --check           what a migration would meet
  sluice maintain --dry-run        what retention would take
  sluice rebuild --dry-run         which rows this version would show otherwise
  sluice reconcile --since 2h      ask Stripe what never arrived
  sluice backfill --since 2y       record what an old account holds, as it is now"""


class _OnDemand(click.Group):
    """A group whose commands are imported when they are named."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which an operator needs them."""
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, from its own module."""
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), name or "command")
        return command

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; what its error quotes is printable."""
        try:
            return super().invoke(ctx)
        except click.ClickException as error:
            error.message = printable_lines(error.message)  # type: ignore[misc]  # final in click's types alone
            raise


@click.group(cls=_OnDemand, epilog=EXAMPLES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version(), message="%(prog)s %(version)s")
def sluice() -> None:
    """
    Inspect and operate Sluice.

    DATABASE_URL (or DATABASE_URL_FILE) says which database. Where neither is set, the stack that `make run` started
    here is meant (.local/stack.env). A member of the role sluice_operator may look at everything and use the verbs,
    one of sluice_migrator may migrate, too. Exit codes: 0 well, 1 a check failed, 2 called in a wrong way.
    """
