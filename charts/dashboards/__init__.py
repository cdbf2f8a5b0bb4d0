"""
The source of ``charts/sluice/dashboards/*.json``: ``python -m charts.dashboards`` writes them.

``money`` and ``inside`` say what is shown, ``panels`` are the words for it, ``grafana`` writes it down.
"""

from charts.dashboards.inside import INSIDE
from charts.dashboards.money import MONEY

DASHBOARDS = (MONEY, INSIDE)
