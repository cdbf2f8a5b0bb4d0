"""``sluice doctor``."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

import click

from reconciler.endpoint.audit import Needed, clock_findings
from reconciler.endpoint.examination import Examined, examine
from reconciler.endpoint.findings import Finding, Weight, by_weight
from reconciler.endpoint.fix import Call, make, plan, shown
from reconciler.endpoint.proofs import Proofs
from reconciler.endpoint.reach import reach, reach_findings
from reconciler.endpoint.screen import show
from reconciler.endpoint.secret_file import secret_file
from reconciler.endpoint.surroundings import apis_for, keys_of, needed_by, proofs_for, surroundings
from reconciler.failures import KeyRefused, RightMissing
from reconciler.stripe_api import StripeApi
from sluice.failures import Failure, Unavailable
from sluice.ops.environment import Environment
from sluice.ops.output import print_json
from sluice.ops.terminal import Terminal

_ASK_SECONDS = 60.0
EXAMPLES = """\b
Examples:
  STRIPE_API_KEY_FILE=/run/secrets/key PUBLIC_URL=https://your.host \\
    APP_ENV=production sluice doctor
  sluice doctor --json
  sluice doctor --fix --secret-file webhook.secret"""


@click.command(name="doctor", epilog=EXAMPLES)
@click.option("--json", "as_json", is_flag=True, help="For machines.")
@click.option("--without-url", is_flag=True, help="Do not call the public URL.")
@click.option("--fix", is_flag=True, help="Create, enable or subscribe the endpoint; shows each call and asks first.")
@click.option("--yes", is_flag=True, help="With --fix: do not ask.")
@click.option(
    "--secret-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="With --fix: new file for the signing secret of an endpoint that is created.",
)
def command(*, as_json: bool, without_url: bool, fix: bool, yes: bool, secret_file: Path | None) -> None:
    """
    Compare our endpoint at Stripe with what Sluice needs.

    Registered once, enabled, in the mode of APP_ENV, with the types that the handlers take and an api_version that is
    known; each secret proven by a webhook; clocks, DNS and certificate of PUBLIC_URL. STRIPE_API_KEY is a restricted
    key that may read webhook endpoints (rak_webhook_read); --fix needs one that may write them. Exit code 1: there is
    something to do.
    """
    if not fix and (yes or secret_file):
        raise click.UsageError("--yes and --secret-file go with --fix.")
    if fix and as_json and not yes:
        raise click.UsageError("--fix --json does not ask: add --yes.")
    is_well = asyncio.run(_Doctor(as_json=as_json, without_url=without_url).run(fix=fix, yes=yes, path=secret_file))
    if not is_well:
        raise click.exceptions.Exit(1)


class _Doctor:
    """One run of the command."""

    def __init__(self, *, as_json: bool, without_url: bool) -> None:
        self._as_json = as_json
        self._without_url = without_url
        self._environment: Environment = surroundings()
        self._needed: Needed = needed_by(self._environment)

    async def run(self, *, fix: bool, yes: bool, path: Path | None) -> bool:
        """Whether nothing needs to be done, at the end."""
        keys = keys_of(self._environment, livemode=self._needed.livemode)
        proven = await proofs_for(self._environment)
        proofs, database_lead = proven if proven is not None else (None, None)
        around = await self._around()
        async with apis_for(self._environment, keys) as apis:
            examined = await self._examine(apis, proofs)
            done: Sequence[Call] = ()
            if fix:
                done = await self._fix(apis[self._needed.livemode], examined, yes=yes, path=path)
                examined = await self._examine(apis, proofs) if done else examined
        findings = [*examined.findings, *_database_clock(examined, database_lead), *around]
        findings.sort(key=by_weight)
        self._print(examined, findings, proofs, done)
        return all(finding.weight is Weight.NOTE for finding in findings)

    async def _around(self) -> Sequence[Finding]:
        if self._without_url:
            return ()
        reached = await reach(self._needed.url)
        return tuple(reach_findings(self._needed.url, reached, livemode=self._needed.livemode, now=time.time()))

    async def _examine(self, apis: Mapping[bool, StripeApi], proofs: Proofs | None) -> Examined:
        try:
            async with asyncio.timeout(_ASK_SECONDS):
                return await examine(self._needed, apis, proofs)
        except TimeoutError as error:
            raise click.ClickException(f"Stripe let us wait for more than {_ASK_SECONDS:g} s. Try again.") from error
        except Failure as failure:
            raise click.ClickException(_explained(failure, self._needed.mode)) from failure

    async def _fix(self, api: StripeApi, examined: Examined, *, yes: bool, path: Path | None) -> Sequence[Call]:
        calls = plan(self._needed, examined.registrations)
        if not calls:
            click.echo("There is nothing that a call to Stripe would cure.", err=True)
        if any(call.gives_secret for call in calls) and path is None:
            raise click.UsageError(
                "The endpoint is to be created, and Stripe shows its signing secret once: name a new file for it with "
                "--secret-file PATH."
            )
        return [call for call in calls if await self._make(api, call, yes=yes, path=path)]

    async def _make(self, api: StripeApi, call: Call, *, yes: bool, path: Path | None) -> bool:
        click.echo(f"To {call.purpose}:\n{shown(call)}", err=True)
        if not yes and not click.confirm("Make this call?", err=True):
            return False
        try:
            with secret_file(path) if call.gives_secret and path is not None else nullcontext() as keep:
                secret = await make(api, call)
                if secret is not None and keep is not None:
                    keep(secret)
        except Unavailable as failure:
            raise click.ClickException(
                f"{failure} It is not known whether Stripe made this change: look with `sluice doctor`. If the "
                "endpoint is there now, roll its secret in Stripe's Dashboard."
            ) from failure
        except Failure as failure:
            raise click.ClickException(_explained(failure, self._needed.mode)) from failure
        if call.gives_secret:
            click.echo(f"The signing secret is in {path}: give it to ingest as STRIPE_WEBHOOK_SECRET_FILE.", err=True)
        return True

    def _print(
        self, examined: Examined, findings: Sequence[Finding], proofs: Proofs | None, done: Sequence[Call]
    ) -> None:
        if not self._as_json:
            show(Terminal(), examined, findings, proofs)
            return
        print_json(
            {
                "url": examined.needed.url,
                "mode": examined.needed.mode,
                "registrations": [
                    {**asdict(one), "subscribed": sorted(one.subscribed), "sources": sorted(one.sources)}
                    for one in examined.ours
                ],
                "secrets": None if proofs is None else asdict(proofs),
                "calls": [asdict(call) for call in done],
                "findings": [_document(finding) for finding in findings],
            }
        )


def _document(finding: Finding) -> Mapping[str, object]:
    return {
        "name": finding.name,
        "weight": finding.weight,
        "text": finding.text,
        "cure": finding.cure,
        "items": finding.items,
    }


def _database_clock(examined: Examined, database_lead: float | None) -> tuple[Finding, ...]:
    """PostgreSQL's clock against Stripe's; its schedules follow it."""
    if database_lead is None:
        return ()
    return clock_findings(examined.our_lead_seconds + database_lead, whose="PostgreSQL's")


def _explained(failure: Failure, mode: str) -> str:
    if isinstance(failure, KeyRefused):
        return (
            f"Stripe refuses the {mode}-mode key of STRIPE_API_KEY: it is wrong, revoked or expired. Set another one."
        )
    if isinstance(failure, RightMissing):
        return f"{failure} It belongs to STRIPE_API_KEY's key of {mode} mode."
    return f"{failure}"
