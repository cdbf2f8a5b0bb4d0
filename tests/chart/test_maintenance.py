"""The CronJob that makes partitions and keeps retention."""

import pytest

from tests.chart.helm import CHART, Refused, Values, merge, of_kind, read, render

MINIMAL = read(CHART / "ci" / "minimal-values.yaml")
ON: Values = {"maintenance": {"enabled": True}, "secrets": {"maintainerDatabaseUrl": {"name": "logins"}}}


def test_there_is_none_unless_it_is_asked_for() -> None:
    """An upgrade from a release without the role and its Secret still renders."""
    assert "CronJob" not in {manifest["kind"] for manifest in render(MINIMAL)}


def test_it_runs_one_at_a_time_with_the_maintainers_login() -> None:
    """Every hour, and with no setting of retention it keeps everything."""
    (job,) = of_kind(render(merge(MINIMAL, ON)), "CronJob").values()
    assert (job["spec"]["schedule"], job["spec"]["concurrencyPolicy"]) == ("17 * * * *", "Forbid")
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["command"] == ["sluice", "maintain"]
    assert [setting["name"] for setting in container["env"]] == ["DATABASE_URL_FILE"]
    sources = next(volume for volume in pod["volumes"] if volume["name"] == "secrets")["projected"]["sources"]
    assert [source["secret"]["name"] for source in sources] == ["logins"]
    assert pod["containers"][0]["securityContext"]["readOnlyRootFilesystem"]


def test_retention_is_told_by_settings_of_the_command() -> None:
    """Those that are set; 0 is for ever."""
    wanted = {"maintenance": {"retainBodiesDays": 30, "retainWebhooksDays": 400}}
    (job,) = of_kind(render(merge(merge(MINIMAL, ON), wanted)), "CronJob").values()
    (container,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    told = {setting["name"]: setting["value"] for setting in container["env"][1:]}
    assert told == {"RETAIN_BODIES_DAYS": "30", "RETAIN_WEBHOOKS_DAYS": "400"}


def test_webhooks_are_not_kept_for_less_than_stripe_repeats_them() -> None:
    """31 days, or for ever."""
    with pytest.raises(Refused):
        render(merge(merge(MINIMAL, ON), {"maintenance": {"retainWebhooksDays": 30}}))
