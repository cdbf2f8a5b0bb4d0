"""One screen for people."""

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table

from sluice.ops.admin import ServiceSeen
from sluice.ops.durations import as_words
from sluice.ops.operations.pauses import line as paused_line
from sluice.ops.status.criteria import Criterion, Judgement
from sluice.ops.status.snapshot import MOST, Snapshot

_INDENT = (0, 0, 0, 9)
_STYLES = {Judgement.PASS: "green", Judgement.FAIL: "bold red", Judgement.UNKNOWN: "yellow"}


def show(console: Console, snapshot: Snapshot) -> None:
    """Print how it stands."""
    stripe = [_stripe(snapshot)] if snapshot.accounts or snapshot.thin_waiting else []
    paused = [_pauses(snapshot)] if snapshot.pauses else []
    console.print(Group(_webhooks(snapshot), *paused, *stripe, _services(snapshot), _errors(snapshot)))
    for fault in snapshot.schema_faults:
        console.print(f"[bold red]{escape(fault.name)}[/]: {escape(fault.finding)}")
        console.print(Padding(escape(fault.cure), _INDENT))


def show_criteria(console: Console, criteria: list[Criterion], window_seconds: float) -> None:
    """Print what is fulfilled, what is not, and what cannot be known."""
    console.print(f"[bold]Criteria after deployment, the last {as_words(window_seconds)}[/]\n")
    for one in criteria:
        console.print(f"[{_STYLES[one.verdict]}]{one.verdict.value:8}[/] [bold]{one.title}[/]")
        console.print(Padding(escape(one.evidence), _INDENT))
        if one.to_know:
            console.print(Padding(f"[dim]To know: {escape(one.to_know)}[/]", _INDENT))


def _webhooks(snapshot: Snapshot) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim")
    grid.add_column(justify="right")
    grid.add_column(style="dim")
    age = as_words(snapshot.oldest_unprocessed_age_seconds) if snapshot.backlog > snapshot.parked else "none"
    grid.add_row("backlog", _counted(snapshot.backlog), "received and neither processed nor dead")
    grid.add_row("oldest", age, "age of the oldest unprocessed one that is not parked")
    grid.add_row("failing", _alarming(snapshot.failing, "yellow"), "failed at least once; tried again when due")
    grid.add_row("parked", _alarming(snapshot.parked, "yellow"), "waiting for an events row that does not exist yet")
    grid.add_row("dead", _alarming(snapshot.dead, "bold red"), "given up; `sluice ls --state dead` shows them")
    if snapshot.pauses or snapshot.paused:
        grid.add_row("paused", _alarming(snapshot.paused, "yellow"), "waiting for the end of a pause; no backlog")
    grid.add_row("last hour", _counted(snapshot.received_last_hour), "received")
    grid.add_row("", _counted(snapshot.processed_last_hour), "of these processed")
    return Panel(grid, title="webhooks", title_align="left")


def _pauses(snapshot: Snapshot) -> RenderableType:
    told = [f"[yellow]{escape(paused_line(one))}[/]" for one in snapshot.pauses]
    return Panel("\n".join(told), title="paused", title_align="left")


def _stripe(snapshot: Snapshot) -> RenderableType:
    table = Table(box=None, padding=(0, 2), header_style="dim")
    table.add_column("account", overflow="fold")
    table.add_column("mode", no_wrap=True)
    for heading in ("complete until", "missing", "filled"):
        table.add_column(heading, justify="right")
    for one in snapshot.accounts:
        behind = f"{as_words(one.behind_seconds)} ago"
        table.add_row(one.account, one.mode, behind, _alarming(one.missing, "bold red"), f"{one.filled:,}")
    problems = [f"[yellow]{escape(one.account)}: {escape(one.problem)}[/]" for one in snapshot.accounts if one.problem]
    thin = [f"{snapshot.thin_waiting:,} thin events wait for their full event"] if snapshot.thin_waiting else []
    return Panel(Group(table, *problems, *thin), title="stripe", title_align="left")


def _counted(number: int) -> str:
    return f"{number:,}" if number < MOST else f"{MOST:,} or more"


def _services(snapshot: Snapshot) -> RenderableType:
    table = Table(box=None, padding=(0, 2), header_style="dim")
    table.add_column("service", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for heading in ("busy", "idle", "max", "waiting", "up for"):
        table.add_column(heading, justify="right")
    for service in snapshot.services:
        table.add_row(*_service(service))
    share = snapshot.connections / snapshot.max_connections
    server = f"server connections: {snapshot.connections} of {snapshot.max_connections} ({share:.0%})"
    unknown = [
        f"[yellow]{one.name} is unknown: {escape(one.problem)}[/]"
        for one in snapshot.services
        if one.problem is not None
    ]
    return Panel(Group(table, *unknown, server), title="pools", title_align="left")


def _service(service: ServiceSeen) -> list[str]:
    if service.problem is not None:
        return [service.name, "[yellow]unknown[/]", "", "", "", "", ""]
    figures = [str(service.pool.get(name, "-")) for name in ("busy", "idle", "max", "waiters")]
    state = "[green]ready[/]" if service.ready else "[bold red]not ready[/]"
    return [service.name, state, *figures, as_words(service.uptime_seconds)]


def _errors(snapshot: Snapshot) -> RenderableType:
    told = "   ".join(f"{severity} {count:,}" for severity, count in snapshot.unresolved_errors.items())
    return Panel(told or "none", title="unresolved rows of error_logs", title_align="left")


def _alarming(count: int, style: str) -> str:
    return f"[{style}]{count:,}[/]" if count else "0"
