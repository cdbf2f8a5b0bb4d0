"""How Grafana 11 wants a dashboard written. No data source is named: a variable stands for it everywhere."""

import json
from collections.abc import Iterator, Mapping, Sequence
from string import ascii_uppercase
from typing import TypeAlias

from charts.dashboards.panels import ONE, Colour, Dashboard, Figure, Graph, Level, Panel, Query, Row, State, Timeline

Json: TypeAlias = "Mapping[str, Json] | Sequence[Json] | str | float | bool | None"

SCHEMA_VERSION = 39  # Grafana 11.0; later ones read it
RUNBOOK = "docs/runbook.md"  # the chart puts monitoring.alerts.runbookUrl in its place
SOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS = 24
_OURS = "event_loop_lag_seconds_count"
"""Every process of Sluice has it, and nothing else does."""


def written(dashboard: Dashboard) -> str:
    """The file."""
    return json.dumps(_dashboard(dashboard), indent=2, ensure_ascii=False) + "\n"


def _dashboard(dashboard: Dashboard) -> Json:
    return {
        "uid": f"sluice-{dashboard.name}",
        "title": dashboard.title,
        "description": dashboard.description,
        "tags": ["sluice"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": f"now-{dashboard.shows_hours}h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": list(_variables(dashboard))},
        "annotations": {"list": [_restarts()]},
        "links": [_link_to_the_others()],
        "panels": list(_placed(dashboard.rows)),
    }


def _variables(dashboard: Dashboard) -> Iterator[Json]:
    """One Sluice is chosen by namespace and job; where a Prometheus adds no namespace, none is what fits."""
    yield {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "hide": 0}
    yield _variable("namespace", f"label_values({_OURS}, namespace)")
    yield _variable("job", f'label_values({_OURS}{{namespace="$namespace"}}, job)', several=True)
    if dashboard.chooses_pods:
        yield _variable("pod", f"label_values({_OURS}{{{ONE}}}, pod)", several=True, all_value=".*")


def _variable(name: str, query: str, *, several: bool = False, all_value: str | None = None) -> Json:
    return {
        "name": name,
        "label": name.capitalize(),
        "type": "query",
        "datasource": SOURCE,
        "definition": query,
        "query": {"query": query, "refId": f"Variable-{name}"},
        "refresh": 2,
        "sort": 1,
        "hide": 0,
        "multi": several,
        "includeAll": several,
        **({"current": {"text": ["All"], "value": ["$__all"]}} if several else {}),
        **({"allValue": all_value} if all_value else {}),
    }


def _restarts() -> Json:
    """A line wherever a process started."""
    return {
        "name": "Starts",
        "datasource": SOURCE,
        "enable": True,
        "iconColor": Colour.NEUTRAL.value,
        "expr": f"1000 * process_start_time_seconds{{{ONE}}}",
        "useValueForTime": True,
        "titleFormat": "{{pod}} started",
    }


def _link_to_the_others() -> Json:
    return {
        "type": "dashboards",
        "title": "Sluice",
        "tags": ["sluice"],
        "asDropdown": False,
        "includeVars": True,
        "keepTime": True,
        "targetBlank": False,
    }


def _placed(rows: Sequence[Row]) -> Iterator[Json]:
    """Rows one below the other, their panels from left to right."""
    top, number = 0, 1
    for row in rows:
        place = {"x": 0, "y": top, "w": COLUMNS, "h": 1}
        yield {"id": number, "type": "row", "title": row.title, "collapsed": False, "gridPos": place, "panels": []}
        top, number = top + 1, number + 1
        left = tallest = 0
        for panel in row.panels:
            if left + panel.width > COLUMNS:
                top, left, tallest = top + tallest, 0, 0
            yield _panel(panel, number, {"x": left, "y": top, "w": panel.width, "h": panel.height})
            left, tallest, number = left + panel.width, max(tallest, panel.height), number + 1
        top += tallest


def _panel(panel: Panel, number: int, place: Json) -> Json:
    kind, custom, options = _kind(panel)
    return {
        "id": number,
        "type": kind,
        "title": panel.title,
        "description": panel.description,
        "links": [{"title": "Runbook", "url": f"{RUNBOOK}#{panel.runbook}", "targetBlank": True}],
        "gridPos": place,
        "datasource": SOURCE,
        "targets": [_target(query, letter) for query, letter in zip(panel.queries, ascii_uppercase, strict=False)],
        "fieldConfig": {"defaults": _defaults(panel, custom), "overrides": _overrides(panel)},
        "options": options,
    }


def _target(query: Query, letter: str) -> Json:
    return {
        "refId": letter,
        "datasource": SOURCE,
        "editorMode": "code",
        "range": True,
        "expr": query.expr,
        "legendFormat": query.legend,
    }


def _kind(panel: Panel) -> tuple[str, Mapping[str, Json], Json]:
    """Grafana's name of it, what is special about its fields, and how it shows them."""
    if isinstance(panel, Figure):
        return "stat", {}, _FIGURE
    if isinstance(panel, Timeline):
        return "state-timeline", {"fillOpacity": 80, "lineWidth": 0}, _TIMELINE
    return "timeseries", _line(panel), _GRAPH


_FIGURE: Json = {
    "colorMode": "background",
    "graphMode": "area",
    "justifyMode": "center",
    "textMode": "value",
    "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
}
_TIMELINE: Json = {
    "mergeValues": True,
    "showValue": "never",
    "rowHeight": 0.8,
    "alignValue": "left",
    "legend": {"showLegend": True, "displayMode": "list", "placement": "bottom"},
    "tooltip": {"mode": "single", "sort": "none"},
}
_GRAPH: Json = {
    "legend": {"showLegend": True, "displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"]},
    "tooltip": {"mode": "multi", "sort": "desc"},
}


def _line(panel: Panel) -> Mapping[str, Json]:
    is_stacked = isinstance(panel, Graph) and panel.stacked
    return {
        "drawStyle": "line",
        "lineWidth": 1,
        "fillOpacity": 40 if is_stacked else 10,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal" if is_stacked else "none", "group": "A"},
        "thresholdsStyle": {"mode": "dashed" if panel.levels else "off"},
    }


def _defaults(panel: Panel, custom: Mapping[str, Json]) -> Json:
    colour = "palette-classic" if isinstance(panel, Graph) else "thresholds"
    return {
        "unit": panel.unit,
        "min": 0,
        "color": {"mode": colour},
        "thresholds": {"mode": "absolute", "steps": _steps(panel.levels)},
        **({"noValue": panel.without_data} if isinstance(panel, Figure) else {}),
        **({"decimals": panel.decimals} if panel.decimals is not None else {}),
        **({"mappings": [_mapping(panel.states)]} if panel.states else {}),
        **({"custom": custom} if custom else {}),
    }


def _steps(levels: Sequence[Level]) -> Json:
    base = {"color": Colour.GOOD.value, "value": None}
    return [base, *({"color": level.colour.value, "value": level.at} for level in levels)]


def _mapping(states: Sequence[State]) -> Json:
    said = {
        str(state.value): {"index": place, "text": state.text, "color": state.colour.value}
        for place, state in enumerate(states)
    }
    return {"type": "value", "options": said}


def _overrides(panel: Panel) -> Json:
    colours = panel.colours if isinstance(panel, Graph) else None
    return [
        {
            "matcher": {"id": "byName", "options": name},
            "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": colour.value}}],
        }
        for name, colour in (colours or {}).items()
    ]
