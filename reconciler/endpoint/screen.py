"""The doctor's findings for people: 80 columns, each finding with its cure."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from reconciler.endpoint.examination import Examined
from reconciler.endpoint.findings import Finding, Weight
from reconciler.endpoint.proofs import Proofs
from reconciler.endpoint.registration import Payload, Registration

_INDENT = (0, 0, 0, 9)
_STYLES = {Weight.FAULT: "bold red", Weight.WARNING: "yellow", Weight.NOTE: "dim"}
_NOTHING_WRONG = "[green]Nothing is wrong.[/]"


def show(console: Console, examined: Examined, findings: Sequence[Finding], proofs: Proofs | None) -> None:
    """Print what is registered, what is proven, what is wrong, and the cure of each."""
    console.print(f"[bold]{escape(examined.needed.url)}[/] in {examined.needed.mode} mode\n", soft_wrap=True)
    if examined.ours:
        console.print(_registrations(examined.ours))
    if proofs is not None and (proofs.last_seen or proofs.configured):
        console.print(_secrets(proofs))
    for finding in findings:
        _show_finding(console, finding)
    console.print(_summary(findings))


def _show_finding(console: Console, finding: Finding) -> None:
    console.print(f"[{_STYLES[finding.weight]}]{finding.weight.value:8}[/] [bold]{finding.name.value}[/]")
    console.print(Padding(escape(finding.text), _INDENT))
    for item in finding.items:
        console.print(Padding(escape(item), (0, 0, 0, 11)))
    console.print(Padding(f"[dim]Cure:[/] {escape(finding.cure)}", _INDENT))


def _registrations(ours: Sequence[Registration]) -> RenderableType:
    table = Table(box=None, padding=(0, 1), header_style="dim", pad_edge=False)
    for heading in ("at Stripe", "state", "content", "types"):
        table.add_column(heading, overflow="fold")
    for one in ours:
        state = "[green]enabled[/]" if one.is_enabled else "[bold red]disabled[/]"
        content = "thin" if one.payload is Payload.THIN else f"snapshot, {one.api_version or 'no api_version'}"
        table.add_row(escape(one.id), state, escape(content), "all" if one.takes_all else str(len(one.subscribed)))
    return Padding(table, (0, 0, 1, 0))


def _secrets(proofs: Proofs) -> RenderableType:
    table = Table(box=None, padding=(0, 1), header_style="dim", pad_edge=False)
    for heading in ("secret", "ingest has it", "last verified a webhook"):
        table.add_column(heading, overflow="fold")
    since = "" if proofs.since is None else f", none since {_moment(proofs.since)}"
    for name in sorted({*proofs.last_seen, *(proofs.configured or ())}):
        last_at = proofs.last_seen.get(name)
        has = "?" if proofs.configured is None else "yes" if name in proofs.configured else "no"
        table.add_row(escape(name), has, f"never{since}" if last_at is None else _moment(last_at))
    return Padding(table, (0, 0, 1, 0))


def _summary(findings: Sequence[Finding]) -> str:
    counts = Counter(finding.weight for finding in findings)
    if not counts:
        return _NOTHING_WRONG
    told = ", ".join(f"{counts[one]} {one.value}{'' if counts[one] == 1 else 's'}" for one in Weight if counts[one])
    is_well = set(counts) == {Weight.NOTE}
    return f"\n{_NOTHING_WRONG} {told}." if is_well else f"\n{told}."


def _moment(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"
