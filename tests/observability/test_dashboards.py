"""Dashboards from a server and from a directory, made fit for provisioning."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_context import FakeCluster, bad, context, obj, verdicts
from real_prometheus import endpoint

from runbook import observability
from runbook.errors import ParameterError, UnreachableError
from runbook.observability.dashboards import PUBLISHED, dashboard_maps, load
from runbook.observability.sidecar import Sidecar, find_sidecar

DOWNLOAD = {
    "__inputs": [{"name": "DS_PROMETHEUS", "type": "datasource", "pluginId": "prometheus"}],
    "__requires": [{"type": "grafana", "id": "grafana"}],
    "id": 7,
    "uid": "linkerd-top-line",
    "title": "Linkerd / Top Line",
    "templating": {"list": [{"name": "ns", "datasource": "${DS_PROMETHEUS}"}]},
    "panels": [
        {
            "title": "rps",
            "datasource": {"type": "prometheus", "uid": "${DS_PROMETHEUS}"},
            "targets": [{"expr": "request_total", "datasource": "${datasource}"}],
        }
    ],
}


def write(directory: Path, name: str = "top-line", **changes: Any) -> None:
    directory.mkdir(exist_ok=True)
    (directory / f"{name}.json").write_text(json.dumps(DOWNLOAD | changes))


def grafana(**env: str) -> dict[str, Any]:
    """Give a Grafana with its sidecar, as kube-prometheus-stack installs it."""
    given = {"LABEL": "grafana_dashboard", "LABEL_VALUE": "1", "NAMESPACE": "ALL"} | env
    container = {
        "name": "grafana-sc-dashboard",
        "env": [{"name": key, "value": value} for key, value in given.items()],
    }
    return obj(
        "apps/v1",
        "Deployment",
        "grafana",
        "k3s-monitoring",
        spec={
            "selector": {"matchLabels": {"app": "grafana"}},
            "template": {"spec": {"containers": [container, {"name": "grafana"}]}},
        },
    )


def pod() -> dict[str, Any]:
    names = ("grafana-sc-dashboard", "grafana")
    return obj(
        "v1",
        "Pod",
        "grafana-1",
        "k3s-monitoring",
        {"app": "grafana"},
        spec={"containers": [{"name": name} for name in names]},
        status={
            "phase": "Running",
            "containerStatuses": [{"name": name, "ready": True} for name in names],
        },
    )


def here(source: object, *objects: Any, **params: Any) -> Any:
    given = {"dashboards": "top-line", "dashboard_source": str(source)} | params
    return context(FakeCluster(objects), **given)


def test_the_question_for_a_data_source_is_answered(tmp_path: Path) -> None:
    write(tmp_path)
    (one,) = load(here(tmp_path))
    assert (one.uid, one.title) == ("linkerd-top-line", "Linkerd / Top Line")
    made = json.loads(one.text)
    assert made["id"] is None
    assert "__inputs" not in made
    assert "DS_PROMETHEUS" not in one.text
    assert made["panels"][0]["datasource"] is None
    assert made["templating"]["list"][0]["datasource"] is None
    assert made["panels"][0]["targets"][0] == {
        "expr": "request_total",
        "datasource": "${datasource}",  # a variable of the dashboard's own stays
    }


@pytest.fixture
def server() -> Iterator[str]:
    with endpoint(json.dumps(DOWNLOAD)) as port:
        yield f"http://127.0.0.1:{port}/"


def test_download(server: str) -> None:
    (one,) = load(here(server))
    assert one.name == "top-line"


def test_a_rehearsal_has_a_server_of_its_own(server: str) -> None:
    chosen = here("")
    chosen.cluster.dashboards = server
    assert [one.uid for one in load(chosen)] == ["linkerd-top-line"]


@pytest.mark.parametrize(
    ("name", "told"),
    [("top-lin", "did you mean top-line"), ("weather", "correct the parameter dashboards")],
)
def test_a_dashboard_nobody_publishes(server: str, name: str, told: str) -> None:
    with pytest.raises(ParameterError) as caught:
        load(here(server, dashboards=name))
    assert told in caught.value.fix


def test_a_server_that_does_not_answer() -> None:
    with pytest.raises(UnreachableError) as caught:
        load(here("http://127.0.0.1:9"))
    assert "dashboard_source" in caught.value.fix


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "no dashboard"),
        ("[]", "no dashboard"),
        ('{"panels": []}', "no dashboard"),
        ("<html>", "no dashboard"),
        (json.dumps({"title": "x", "text": "y" * 1_100_000}), "too large"),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "top-line.json").write_text(text)
    with pytest.raises(ParameterError, match=told):
        load(here(tmp_path))
    assert bad(observability.dashboards_to_be_had, here(tmp_path)) == {"dashboards-source": "fail"}


def test_a_missing_file_says_what_there_is(tmp_path: Path) -> None:
    write(tmp_path, "health")
    with pytest.raises(ParameterError) as caught:
        load(here(tmp_path))
    assert "health" in caught.value.why


def test_two_with_one_uid(tmp_path: Path) -> None:
    write(tmp_path)
    write(tmp_path, "health")
    chosen = here(tmp_path, dashboards="top-line,health")
    assert bad(observability.dashboards_to_be_had, chosen) == {"dashboards-source": "fail"}


def test_maps_have_the_sidecars_own_label(tmp_path: Path) -> None:
    write(tmp_path)
    (made,) = dashboard_maps(here(tmp_path))
    assert made["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert list(made["data"]) == ["linkerd-top-line.json"]
    other = grafana(LABEL="dash", LABEL_VALUE="yes", FOLDER_ANNOTATION="grafana_folder")
    (made,) = dashboard_maps(here(tmp_path, other))
    assert made["metadata"]["labels"]["dash"] == "yes"
    assert made["metadata"]["annotations"] == {"grafana_folder": "Linkerd"}


def test_published_numbers_are_all_different() -> None:
    assert len({one.id for one in PUBLISHED.values()}) == len(PUBLISHED) == 18


# --- the sidecar --------------------------------------------------------------------------------


def test_the_sidecar_is_found() -> None:
    chosen = here("x", grafana())
    found = find_sidecar(chosen)
    assert found is not None
    assert (found.deployment, found.label, found.value) == ("grafana", "grafana_dashboard", "1")
    assert verdicts(observability.dashboard_sidecar, chosen) == {"dashboard-sidecar": "pass"}


@pytest.mark.parametrize(
    "deployments", [[], [grafana(NAMESPACE="other")], [grafana(NAMESPACE="a, b")]]
)
def test_no_sidecar_or_one_that_looks_elsewhere(deployments: list[Any]) -> None:
    chosen = here("x", *deployments)
    assert verdicts(observability.dashboard_sidecar, chosen) == {"dashboard-sidecar": "fail"}


def test_where_a_sidecar_looks() -> None:
    assert Sidecar(namespaces="ALL").looks_in("x")
    assert Sidecar(namespaces="", namespace="own").looks_in("own")
    assert not Sidecar(namespaces="", namespace="own").looks_in("x")
    assert Sidecar(namespaces="a,b").looks_in("b")


def provisioned(tmp_path: Path, log: str) -> dict[str, str]:
    write(tmp_path)
    chosen = here(tmp_path, grafana(), pod())
    chosen.cluster.add(*dashboard_maps(chosen))
    chosen.cluster.log = log
    found = observability.dashboards_provisioned(chosen, pause=lambda _: None)
    return {one.id: one.verdict for one in found}


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        (
            "Writing /tmp/dashboards/linkerd-top-line.json (ascii)",
            {"dashboards-written": "pass", "dashboards-accepted": "pass"},
        ),
        ("Starting", {"dashboards-written": "fail", "dashboards-accepted": "pass"}),
        (
            "Writing linkerd-top-line.json\nlevel=warn "
            'msg="the same UID is used more than once" uid=linkerd-top-line times=2',
            {"dashboards-written": "pass", "dashboards-accepted": "warn"},
        ),
        (
            "Writing linkerd-top-line.json\nlevel=warn "
            'msg="the same UID is used more than once" uid=somebody-elses times=2',
            {"dashboards-written": "pass", "dashboards-accepted": "pass"},
        ),
        (
            "Writing linkerd-top-line.json\nlevel=error msg="
            '"failed to load dashboard from " file=/tmp/dashboards/linkerd-top-line.json',
            {"dashboards-written": "pass", "dashboards-accepted": "warn"},
        ),
    ],
)
def test_what_the_logs_say(tmp_path: Path, log: str, expected: dict[str, str]) -> None:
    assert provisioned(tmp_path, log) == expected


def test_nothing_to_provision(tmp_path: Path) -> None:
    assert verdicts(observability.dashboards_provisioned, here(tmp_path, grafana())) == {
        "dashboards-written": "fail"
    }
    planning = here(tmp_path, grafana(), mode="plan")
    assert verdicts(observability.dashboards_provisioned, planning) == {
        "dashboards-written": "skip"
    }
