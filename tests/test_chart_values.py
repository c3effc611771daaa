"""Values a chart does not know are found; those it may know are let through."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import pytest

from runbook.chart_values import require_known, unknown_values
from runbook.errors import HelmError, ParameterError

VALUES = """
dashboard: {enforcedHostRegexp: "", resources: {cpu: {limit: null}}}
grafana: {url: null, externalUrl: null}
tolerations:
podAnnotations: {}
colour: green
"""
WEB = """
- -enforced-host={{ .Values.dashboard.enforcedHostRegexp }}
- {{ .Values.grafana.url }}{{ .Values.grafana.externalUrl }}
{{- with .Values.proxy }}{{ toYaml . }}{{ .logLevel }}{{ end }}
{{- .Values.podSecurityContext.runAsUser }}
"""


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    made = tmp_path / "viz"
    for name, text in {
        "Chart.yaml": "name: viz\nversion: 1.0.0\n",
        "values.yaml": VALUES,
        "values-ha.yaml": "highAvailability: true\ndashboard: {replicas: 3}\n",
        "templates/web.yaml": WEB,
        "charts/partials/templates/_a.tpl": "{{ .Values.commonLabels }}",
        "charts/partials/values.yaml": "secretOfTheSubchart: 1\n",
    }.items():
        path = made / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return made


def told(chart: Path, **values: Any) -> list[str]:
    return [str(one) for one in unknown_values(chart, values)]


def packed(chart: Path) -> Path:
    archive = chart.parent / "viz-1.0.0.tgz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(chart, arcname="viz")
    return archive


@pytest.mark.parametrize("form", [lambda chart: chart, packed], ids=["directory", "archive"])
def test_the_misspelt_key_of_the_seed(chart: Path, form: Any) -> None:
    values = {"dahsboard": {"enforcedHostRegexp": ".*"}}
    with pytest.raises(ParameterError, match=r"dahsboard \(did you mean dashboard\?\)"):
        require_known(form(chart), values)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"grafanaUrl": "x"}, ["grafanaUrl (did you mean grafana.url?)"]),
        ({"grafana": {"enabled": False}}, ["grafana.enabled"]),
        ({"installNamespace": False}, ["installNamespace"]),
        (
            {"dashboard": {"enforcedHost": "x"}},
            ["dashboard.enforcedHost (did you mean dashboard.enforcedHostRegexp?)"],
        ),
        (
            {"dashboard": {"resources": {"cpu": {"limits": "1"}}}},
            ["dashboard.resources.cpu.limits (did you mean dashboard.resources.cpu.limit?)"],
        ),
    ],
)
def test_unknown(chart: Path, values: dict[str, Any], expected: list[str]) -> None:
    assert told(chart, **values) == expected


@pytest.mark.parametrize(
    "values",
    [
        {"colour": "red", "grafana": {"url": "g:80"}},
        {"tolerations": [{"key": "a"}]},  # an empty default may be anything
        {"podAnnotations": {"a/b": "c"}},
        {"dashboard": {"replicas": 2}, "highAvailability": True},  # of another values file
        {"proxy": {"logLevel": "warn"}},  # no default, but a template reads it
        {"podSecurityContext": {"runAsUser": 1}},
        {"commonLabels": {"a": "b"}},  # a subchart's template reads it
        {"global": {"anything": 1}},  # Helm's own
    ],
)
def test_known(chart: Path, values: dict[str, Any]) -> None:
    assert told(chart, **values) == []


def test_several_are_named_together(chart: Path) -> None:
    with pytest.raises(ParameterError, match=r"values dahsboard .*, installNamespace") as caught:
        require_known(chart, {"dahsboard": {}, "installNamespace": True})
    assert "helm show values" in str(caught.value.fix)


def test_values_are_never_repeated(chart: Path) -> None:
    with pytest.raises(ParameterError) as caught:
        require_known(chart, {"pasword": "hunter2"})
    assert "hunter2" not in str(caught.value)


def test_a_broken_chart(tmp_path: Path) -> None:
    broken = tmp_path / "x.tgz"
    broken.write_bytes(b"no archive")
    with pytest.raises(HelmError, match="cannot be read"):
        require_known(broken, {"a": 1})


def test_a_broken_values_file(chart: Path) -> None:
    (chart / "values.yaml").write_text("a: [")
    with pytest.raises(HelmError, match="no YAML"):
        require_known(chart, {"a": 1})
