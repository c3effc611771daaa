"""The regular expression of the dashboard's hosts: narrow by default, wide ones are found out."""

from __future__ import annotations

import re

import pytest
from fake_context import context, verdicts

from runbook.errors import ParameterError
from runbook.observability.hosts import dashboard_hosts, foreign, host_regexp
from runbook.params import Params

HOST = "linkerd.example.com"


def test_without_a_host_the_charts_own_default_stays() -> None:
    assert host_regexp(Params()) == ""


def test_the_default_lets_in_the_host_and_what_the_chart_lets_in() -> None:
    regexp = host_regexp(Params(viz_host=HOST))
    for host in (
        *(HOST, f"{HOST}:443", "localhost", "localhost:50750", "127.0.0.1:8084", "[::1]:8084"),
        *("web.linkerd-viz.svc", "web.linkerd-viz.svc.cluster.local:8084"),
    ):
        assert re.search(regexp, host), host
    for host in (
        *("", "example.com", "evil.com", f"{HOST}.evil.com", f"evil-{HOST}", f"a.{HOST}"),
        *("linkerdxexample.com", f"{HOST}\n.evil.com", "localhost.evil.com", f"{HOST}:x"),
    ):
        assert not re.search(regexp, host), host
    assert foreign(regexp, Params(viz_host=HOST)) == []


@pytest.mark.parametrize(
    ("regexp", "verdict"),
    [
        (".*", "warn"),
        ("", "pass"),
        (r"^linkerd\.example\.com$", "pass"),
        ("linkerd.example.com", "warn"),  # neither anchored nor escaped
        ("^linkerd.example.com$", "warn"),
        (r"linkerd\.example\.com$", "warn"),
        (r"^linkerd\.example\.com", "warn"),
        (r"^other\.example\.com$", "fail"),
    ],
)
def test_regexps_of_the_user(regexp: str, verdict: str) -> None:
    chosen = context(viz_host=HOST, viz_host_regexp=regexp)
    assert verdicts(dashboard_hosts, chosen) == {"viz-hosts": verdict}


def test_the_warning_names_who_gets_in() -> None:
    (outcome,) = dashboard_hosts(context(viz_host=HOST, viz_host_regexp=".*"))
    assert "attacker.example" in outcome.seen
    assert "DNS rebinding" in outcome.why


@pytest.mark.parametrize("regexp", ["(", r"(?!evil)", r"(a)\1", "(?<=a)b"])
def test_what_go_could_not_compile_is_refused_at_once(regexp: str) -> None:
    with pytest.raises(ParameterError, match="viz_host_regexp"):
        Params.parse({"viz_host": HOST, "viz_host_regexp": regexp})


@pytest.mark.parametrize(
    "given",
    [
        {"scrape_interval": "500ms"},
        {"scrape_interval": "10m"},
        {"viz_users_secret": "users"},
        {"viz_host": "https://linkerd.example.com"},
        {"pod_monitors": "both"},
    ],
)
def test_other_bad_parameters(given: dict[str, str]) -> None:
    with pytest.raises(ParameterError):
        Params.parse(given)
