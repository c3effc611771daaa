"""`runbook audit` as a command, on a rehearsal cluster with services and Linkerd."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from mesh_place import install_linkerd, until

from runbook.cli import runbook
from runbook.rehearsal import Twin, mesh_mishaps
from runbook.rehearsal.client import Client
from runbook.rehearsal.controllers import kinds
from runbook.transport import Transport

LINE = "edge-2.19"


@pytest.fixture(scope="module")
def twin() -> Iterator[Twin]:
    with Twin(services=True) as running:
        install_linkerd(running, LINE)
        yield running


def run(twin: Twin, *arguments: str, status: int) -> str:
    given = ["-p", f"kubeconfig={twin.kubeconfig}", "-p", f"line={LINE}", *arguments]
    done = CliRunner().invoke(runbook, ["audit", *given], standalone_mode=False)
    assert done.exception is None, done.output
    assert done.return_value == status, done.output
    return done.output


def test_nothing_needs_attention_and_nothing_is_written(
    twin: Twin, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    request = Transport.request

    def recorded(self: Transport, method: str, path: str, *args: Any, **given: Any) -> Any:
        asked.append(f"{method} {path}")
        return request(self, method, path, *args, **given)

    monkeypatch.setattr(Transport, "request", recorded)
    text = run(twin, status=0)
    assert text.startswith("REHEARSAL 3 of ")
    assert "nothing needs attention" in text
    assert {one.partition(" ")[0] for one in asked} == {"GET"}
    # One for each page of Namespaces, Jobs and pods; the rest is discovery and what is Linkerd's.
    lists = [one for one in asked if one.endswith(("/pods", "/jobs", "/namespaces"))]
    assert len(lists) == 3
    assert len(asked) < 25


def test_what_needs_attention(twin: Twin, client: Client, tmp_path: Path) -> None:
    notes = {"metadata": {"annotations": {"linkerd.io/inject": "enabled"}}}
    client.patch(kinds.NAMESPACES, "shop", notes)
    client.patch(kinds.NAMESPACES, "kube-system", notes)
    mesh_mishaps.stick_cronjob(client, "shop", "nightly")
    page, data = tmp_path / "audit.html", tmp_path / "audit.json"
    text = run(twin, "--html", str(page), "--json", str(data), status=1)
    assert "kubectl -n shop rollout restart deployment web" in text
    assert "namespace kube-system: linkerd.io/inject: enabled has no effect" in text
    assert "shop/cronjob/nightly: 1 of 1 pods: its Job has ended, its proxy has not" in text
    found = json.loads(data.read_text())
    assert found["schema"] == 1
    (shop,) = (one for one in found["namespaces"] if one["name"] == "shop")
    states = {f"{one['kind']}/{one['name']}": one["state"] for one in shop["workloads"]}
    assert states == {
        "CronJob/nightly": "meshed",
        "DaemonSet/agent": "not",
        "Deployment/web": "not",
        "StatefulSet/db": "not",
    }
    html = page.read_text()
    assert "REHEARSAL" in html
    assert "hostNetwork is enabled" in html
    assert "http://" not in html.partition("<style>")[0]
    only = json.loads(run(twin, "-n", "velero", "--json", "-", status=0))
    assert [one["name"] for one in only["namespaces"]] == ["velero"]
    gone = {"metadata": {"annotations": {"linkerd.io/inject": None}}}
    for space in ("shop", "kube-system"):
        client.patch(kinds.NAMESPACES, space, gone)
    client.delete(kinds.CRON_JOBS, "nightly", "shop")
    until(lambda: "nightly" not in str(list(client.list(kinds.PODS, "shop"))))


def test_usage(twin: Twin) -> None:
    done = CliRunner().invoke(runbook, ["audit", "-p", "cluster=none-such"])
    assert done.exit_code != 0
