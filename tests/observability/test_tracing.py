"""Tracing by line: an extension up to 2.18, the proxies' own settings afterwards."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from fake_context import FakeCluster, config_values, context, obj, verdicts

from runbook import observability


class Charts:
    """Says that every chart is there."""

    def info(self, chart: str, version: str, source: str) -> Any:
        from runbook.chart_store import ChartInfo  # noqa: PLC0415

        return ChartInfo(chart, version, "", ">=1.21.0-0")


def test_a_line_without_the_extension_says_where_to_go() -> None:
    chosen = context(tracing=True)
    (outcome,) = observability.tracing_possible(chosen)
    assert outcome.verdict == "warn"
    assert "removed in edge-25.10.1" in outcome.seen
    assert "proxy: {tracing:" in outcome.fix
    assert observability.jaeger_release(chosen) is None
    assert observability.jaeger_namespace(chosen) is None
    assert verdicts(observability.tracing_possible, context()) == {"tracing-way": "pass"}


@pytest.mark.parametrize("line", ["stable-2.11", "stable-2.14"])
def test_a_line_with_the_extension(line: str) -> None:
    asked = context(FakeCluster(version="1.24.0"), Charts(), line=line, tracing=True)
    assert verdicts(observability.tracing_possible, asked) == {"chart-linkerd-jaeger": "pass"}
    release = observability.jaeger_release(asked)
    assert release is not None
    assert release.namespace == "linkerd-jaeger"
    old = line == "stable-2.11"
    assert ("installNamespace" in release.values) is old
    made = observability.jaeger_namespace(asked)
    assert made is not None
    assert bool(made["metadata"]["annotations"]) is old  # type: ignore[index]
    quiet = context(line=line)
    assert verdicts(observability.tracing_possible, quiet) == {"tracing-way": "skip"}
    assert observability.jaeger_release(quiet) is None


def configured(tracing: dict[str, Any]) -> Any:
    values = config_values() | {"proxy": {"tracing": tracing}}
    data = {"values": yaml.safe_dump(values)}
    config = obj("v1", "ConfigMap", "linkerd-config", "linkerd", data=data)
    return context(FakeCluster([config]))


IDENTITY = {"serviceAccountName": "collector", "namespace": "tracing"}


@pytest.mark.parametrize(
    ("tracing", "verdict"),
    [
        ({}, "skip"),
        ({"enabled": False}, "skip"),
        ({"enabled": True}, "fail"),
        ({"enabled": True, "collector": {"endpoint": "c.t:4317"}}, "warn"),
        (
            {"enabled": True, "collector": {"endpoint": "c.t:4317", "meshIdentity": IDENTITY}},
            "pass",
        ),
    ],
)
def test_the_proxies_own_settings(tracing: dict[str, Any], verdict: str) -> None:
    assert verdicts(observability.tracing_state, configured(tracing)) == {"tracing": verdict}


@pytest.mark.parametrize(
    ("ready", "tracing", "verdict"),
    [(True, True, "pass"), (False, True, "fail"), (None, True, "fail"), (None, False, "skip")],
)
def test_the_extensions_pods(ready: bool | None, tracing: bool, verdict: str) -> None:
    pods = []
    if ready is not None:
        status = {"phase": "Running", "containerStatuses": [{"name": "jaeger", "ready": ready}]}
        spec = {"containers": [{"name": "jaeger"}]}
        pods = [obj("v1", "Pod", "jaeger", "linkerd-jaeger", spec=spec, status=status)]
    chosen = context(FakeCluster(pods), line="stable-2.14", tracing=tracing)
    assert verdicts(observability.tracing_state, chosen) == {"tracing": verdict}
