from pathlib import Path

from charts.dashboards import DASHBOARDS
from charts.dashboards.grafana import written

FOLDER = Path(__file__).parents[1] / "sluice" / "dashboards"

for dashboard in DASHBOARDS:
    (FOLDER / f"{dashboard.name}.json").write_text(written(dashboard), encoding="utf-8")
