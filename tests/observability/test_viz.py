"""The namespace, the values and the release of Viz on each line."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from fake_context import FakeCluster, context, obj, secret

from runbook.chart_values import unknown_values
from runbook.cluster import Cluster
from runbook.errors import ParameterError
from runbook.helm import Release, open_helm
from runbook.kubeconfig import open_access
from runbook.observability.hosts import host_regexp
from runbook.observability.viz import (
    EXTERNAL,
    grafana_values,
    viz_namespace,
    viz_release,
    viz_values,
)
from runbook.params import Params
from runbook.rehearsal import Twin
from runbook.releases import LINES, Line, find

URL = "http://prometheus.k3s-monitoring.svc.cluster.local:9090"
GRAFANA = "grafana.k3s-monitoring.svc.cluster.local:80"
PARAMS = Params(viz_host="linkerd.example.com")


def test_the_namespace_says_where_prometheus_is() -> None:
    made = viz_namespace(context(prometheus_url=URL))["metadata"]
    assert made["labels"] == {
        "linkerd.io/extension": "viz",
        "pod-security.kubernetes.io/enforce": "privileged",
    }
    assert made["annotations"] == {EXTERNAL: URL}


@pytest.mark.parametrize("make", [viz_namespace, viz_release])
def test_a_password_is_never_written_where_everybody_may_read_it(make: Any) -> None:
    chosen = context(prometheus_url="https://pi:hunter2@prometheus.example.com")
    with pytest.raises(ParameterError) as caught:
        make(chosen)
    assert "hunter2" not in str(caught.value)
    assert "prometheusCredsSecret" in caught.value.fix


def test_on_2_11_the_namespace_asks_for_injection() -> None:
    made = viz_namespace(context(line="stable-2.11", prometheus_url=URL))["metadata"]
    assert made["labels"] == {"linkerd.io/extension": "viz"}
    assert made["annotations"] == {
        "linkerd.io/inject": "enabled",
        "config.linkerd.io/proxy-await": "enabled",
        EXTERNAL: URL,
    }


@pytest.mark.parametrize(
    ("line", "address", "expected"),
    [
        ("edge-2.20", GRAFANA, {"grafana": {"url": GRAFANA}}),
        (
            "edge-2.20",
            "https://g.example.com",
            {"grafana": {"externalUrl": "https://g.example.com"}},
        ),
        ("edge-2.20", "", {}),
        ("stable-2.11", GRAFANA, {"grafana": {"enabled": False}, "grafanaUrl": GRAFANA}),
        ("stable-2.11", "", {"grafana": {"enabled": False}}),
        (
            "stable-2.11",
            "https://g.example.com/",
            {"grafana": {"enabled": False}, "grafanaUrl": "g.example.com"},
        ),
    ],
)
def test_grafana(line: str, address: str, expected: dict[str, Any]) -> None:
    assert grafana_values(find(line), address) == expected


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.name)
def test_values(line: Line) -> None:
    made = viz_values(line, PARAMS, prometheus=URL, grafana="", extra={"tap": {"replicas": 2}})
    assert made["prometheus"] == {"enabled": False}
    assert made["prometheusUrl"] == URL
    assert made["dashboard"] == {"enforcedHostRegexp": host_regexp(PARAMS)}
    assert made["tap"] == {"replicas": 2}
    old = line.name == "stable-2.11"
    assert ("installNamespace" in made) is old
    assert ("createNamespaceMetadataJob" in made) is line.name.startswith("edge")
    assert "identityTrustDomain" not in made


def test_your_own_values_win() -> None:
    extra = {"dashboard": {"enforcedHostRegexp": "x"}, "prometheusUrl": "y"}
    made = viz_values(find("edge-2.20"), PARAMS, prometheus=URL, grafana="", extra=extra)
    assert made["dashboard"]["enforcedHostRegexp"] == "x"
    assert made["prometheusUrl"] == "y"


def test_references_are_resolved_and_hidden() -> None:
    cluster = FakeCluster([secret("creds", "linkerd-viz", word="hunter2-and-more")])
    chosen = context(
        cluster,
        prometheus_url=URL,
        viz_values={"commonLabels": {"a": "secret:linkerd-viz/creds/word"}},
    )
    release = viz_release(chosen)
    assert release.values["commonLabels"] == {"a": "hunter2-and-more"}
    assert "hunter2" not in chosen.redactor.text("says hunter2-and-more")
    assert "hunter2" not in repr(release)


def test_the_release() -> None:
    grafana = obj(
        "v1",
        "Service",
        "grafana",
        "k3s-monitoring",
        {"app.kubernetes.io/name": "grafana"},
        spec={"clusterIP": "10.43.0.1", "ports": [{"name": "http-web", "port": 80}]},
    )
    release = viz_release(context(FakeCluster([grafana]), prometheus_url=URL))
    assert (release.name, release.namespace, release.chart, release.version) == (
        *("linkerd-viz", "linkerd-viz"),
        *("linkerd-viz", "2026.6.3"),
    )
    assert release.values["grafana"] == {"url": GRAFANA}


@pytest.mark.parametrize(
    ("line", "given", "version"),
    [
        ("edge-2.20", "2026.8.3", "2026.8.3"),  # edge charts share one version
        ("stable-2.14", "1.16.10", "30.12.11"),  # the stable ones are numbered apart
    ],
)
def test_another_version_of_the_control_plane(line: str, given: str, version: str) -> None:
    chosen = context(line=line, chart_version=given, prometheus_url=URL)
    assert viz_release(chosen).version == version


UPSTREAM = os.environ.get("LINKERD_SOURCES", "")
TAGS = {
    "stable-2.11": "stable-2.11.5",
    "stable-2.14": "stable-2.14.10",
    "edge-2.19": "version-2.19",
    "edge-2.20": "version-2.20",
}


@pytest.mark.skipif(not UPSTREAM, reason="LINKERD_SOURCES names no directory of linkerd2's tags")
@pytest.mark.parametrize("line", LINES, ids=lambda line: line.name)
def test_the_upstream_chart_takes_our_values(line: Line, tmp_path: Path) -> None:
    """Render Linkerd's own chart, from a directory with one checkout for each tag of ``TAGS``."""
    source = Path(UPSTREAM) / TAGS[line.name]
    chart = tmp_path / "linkerd-viz"
    shutil.copytree(source / "viz/charts/linkerd-viz", chart)
    shutil.copytree(source / "charts/partials", chart / "charts/partials")
    values = viz_values(line, PARAMS, prometheus=URL, grafana=GRAFANA, extra={})
    assert list(unknown_values(chart, values)) == []
    seed = {"dahsboard": {"enforcedHostRegexp": ".*"}}
    assert [one.near for one in unknown_values(chart, seed)] == ["dashboard"]
    kubernetes = "1.24" if line.name == "stable-2.11" else "1.35"
    with Twin(kubernetes_version=kubernetes, content=False, controllers=False) as twin:
        cluster = Cluster(open_access("rehearsal", str(twin.kubeconfig)))
        release = Release(
            "linkerd-viz", "linkerd-viz", "linkerd-viz", line.viz.version, str(chart), values
        )
        rendered = open_helm(cluster).render(release)
        cluster.close()
    text = json.dumps(rendered)
    assert f"-prometheus-url={URL}" in text
    assert f"-grafana-addr={GRAFANA}" in text
    assert json.dumps(f"-enforced-host={host_regexp(PARAMS)}")[1:-1] in text
    kinds = {(one["kind"], one["metadata"]["name"]) for one in rendered}
    names = {name for kind, name in kinds if kind == "Deployment"}
    assert names == {"metrics-api", "tap", "tap-injector", "web"}
    assert ("Namespace", "linkerd-viz") not in kinds
