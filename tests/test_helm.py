"""Helm on the rehearsal cluster: as a library, and as the real program where there is one."""

from __future__ import annotations

import _thread
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import chart_server
import pytest
import yaml
from scripted_api import Target, kubeconfig

from runbook.cluster import Cluster, connect
from runbook.errors import ForbiddenError, HelmError, UnreachableError
from runbook.helm import Helm, Release, open_helm
from runbook.helm_sdk import SdkHelm, _in_thread
from runbook.rehearsal import Twin

TIMEOUT = 60.0


@pytest.fixture(scope="module")
def twin() -> Iterator[Twin]:
    with Twin(content=False, controllers=False, kubelet=False) as running:
        yield running


@pytest.fixture
def cluster(twin: Twin) -> Iterator[Cluster]:
    opened = connect(Target(str(twin.kubeconfig), cluster="rehearsal"))
    yield opened
    opened.close()


@pytest.fixture(params=["sdk", "cli"])
def helm(cluster: Cluster, request: pytest.FixtureRequest) -> Helm:
    if request.param == "cli" and shutil.which("helm") is None:
        pytest.skip("no helm on the PATH")
    return open_helm(cluster, request.param)


@pytest.fixture
def home(cluster: Cluster, request: pytest.FixtureRequest) -> str:
    """Give a namespace of the test's own."""
    test, _, variant = request.node.name.replace("_", "-").partition("[")
    name = f"{test[:50]}-{variant[:3]}".strip("-")
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    return name


def release(home: str, source: object, version: str = "1.0.0", **values: object) -> Release:
    return Release("demo", home, "demo", version, str(source), values)


def test_the_life_of_a_release(helm: Helm, cluster: Cluster, home: str, tmp_path: Path) -> None:
    chart = chart_server.write(tmp_path)
    assert helm.release("demo", home) is None
    assert helm.history("demo", home) == []

    installed = helm.install(release(home, chart, colour="red"), timeout=TIMEOUT)
    assert (installed.revision, installed.status) == (1, "deployed")
    assert (installed.chart, installed.version, installed.app_version) == ("demo", "1.0.0", "26.6")
    data = cluster.get("v1", "ConfigMap", "demo", home)["data"]
    assert data["colour"] == "red"
    assert data["server"].startswith("v1.35")

    found = helm.release("demo", home)
    assert found is not None
    assert found.values == {"colour": "red"}
    assert sorted(obj["kind"] for obj in found.objects) == ["ConfigMap", "ServiceAccount"]

    upgraded = helm.upgrade(release(home, chart), timeout=TIMEOUT)
    assert (upgraded.revision, dict(upgraded.values)) == (2, {})
    data = cluster.get("v1", "ConfigMap", "demo", home)["data"]
    assert data["colour"] == "green", "earlier values are not kept"

    helm.rollback("demo", home, 1, timeout=TIMEOUT)
    assert cluster.get("v1", "ConfigMap", "demo", home)["data"]["colour"] == "red"
    assert [(r.revision, r.status) for r in helm.history("demo", home)] == [
        (1, "superseded"),
        (2, "superseded"),
        (3, "deployed"),
    ]

    helm.uninstall("demo", home, timeout=TIMEOUT)
    assert cluster.find("v1", "ConfigMap", "demo", home) is None
    assert helm.release("demo", home) is None
    helm.uninstall("demo", home, timeout=TIMEOUT)  # absent is fine


def test_charts_of_a_repository(helm: Helm, home: str, tmp_path: Path) -> None:
    chart = chart_server.write(tmp_path)
    with chart_server.served(tmp_path / "repository", chart) as source:
        assert helm.info("demo", "1.0.0", source).kube_version == ">=1.31.0-0"
        path = helm.pull("demo", "1.0.0", source)
        assert path.name == "demo-1.0.0.tgz"
        with pytest.raises(HelmError) as caught:
            helm.pull("demo", "9.9.9", source)
        assert "has no chart demo 9.9.9" in caught.value.why
        with pytest.raises(HelmError) as caught:
            helm.pull("demmo", "1.0.0", source)
        assert "has no chart demmo 1.0.0" in caught.value.why
    assert helm.pull("demo", "1.0.0", source) == path, "pulled once"


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("http://127.0.0.1:9/charts", "chart repository cannot be read.*connection refused"),
        ("oci://127.0.0.1:9/charts", "registry does not give the chart.*connection refused"),
    ],
)
def test_repository_that_does_not_answer(helm: Helm, source: str, why: str) -> None:
    with pytest.raises(HelmError, match=why) as caught:
        helm.pull("demo", "1.0.0", source)
    assert "local directory" in caught.value.fix


def test_rendering_changes_nothing(helm: Helm, cluster: Cluster, home: str, tmp_path: Path) -> None:
    chart = chart_server.write(tmp_path)
    objects = helm.render(release(home, chart, colour="red"))
    rendered = next(obj for obj in objects if obj["kind"] == "ConfigMap")
    assert rendered["data"]["colour"] == "red"
    assert rendered["data"]["server"].startswith("v1.35"), "rendered for this cluster"
    assert helm.release("demo", home) is None
    assert cluster.find("v1", "ConfigMap", "demo", home) is None


def test_rendering_before_namespace_and_kinds_are_there(helm: Helm, tmp_path: Path) -> None:
    chart = chart_server.write(tmp_path, templates={"server": chart_server.SERVER})
    assert [obj["kind"] for obj in helm.render(release("nowhere", chart))] == ["Server"]


def test_server_too_old_for_the_chart(helm: Helm, home: str, tmp_path: Path) -> None:
    chart = chart_server.write(tmp_path, kube=">=1.99.0-0")
    for action in (helm.render, lambda r: helm.install(r, timeout=TIMEOUT)):
        with pytest.raises(HelmError) as caught:
            action(release(home, chart))
        assert "needs Kubernetes >=1.99.0-0, the cluster has v1.35" in caught.value.why


def test_missing_kinds(helm: Helm, home: str, tmp_path: Path) -> None:
    chart = chart_server.write(tmp_path, templates={"server": chart_server.SERVER})
    with pytest.raises(HelmError, match="does not know the kind Server of policy"):
        helm.install(release(home, chart), timeout=TIMEOUT)


def test_missing_namespace(helm: Helm, tmp_path: Path) -> None:
    chart = chart_server.write(tmp_path)
    with pytest.raises(HelmError, match="namespace nowhere does not exist"):
        helm.install(release("nowhere", chart), timeout=TIMEOUT)


def test_objects_of_somebody_else(helm: Helm, cluster: Cluster, home: str, tmp_path: Path) -> None:
    chart = chart_server.write(tmp_path)
    meta = {"name": "demo", "namespace": home}
    cluster.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta})
    with pytest.raises(HelmError, match=r'ServiceAccount "demo" .* exists already'):
        helm.install(release(home, chart), timeout=TIMEOUT)


def test_pending_release_is_explained(
    helm: Helm, cluster: Cluster, home: str, tmp_path: Path
) -> None:
    chart = chart_server.write(tmp_path)
    helm.install(release(home, chart), timeout=TIMEOUT)
    chart_server.leave(cluster, "demo", home, 1, "pending-install", "")
    found = helm.release("demo", home)
    assert found is not None
    assert found.status == "pending-install"
    with pytest.raises(HelmError, match="never ended"):
        helm.upgrade(release(home, chart), timeout=TIMEOUT)


def test_no_permission_names_verb_and_resource(
    twin: Twin, cluster: Cluster, home: str, tmp_path: Path
) -> None:
    jane = tmp_path / "jane"
    config = yaml.safe_load(twin.kubeconfig.read_text())
    config["users"][0]["user"]["as"] = "jane"
    jane.write_text(yaml.safe_dump(config))
    helm = SdkHelm(str(jane), "rehearsal")
    with pytest.raises(ForbiddenError, match=rf"cannot list secrets in namespace {home}") as caught:
        helm.release("demo", home)
    assert "jane" in caught.value.why


def test_unreachable_cluster(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path / "k", "https://127.0.0.1:9")
    with pytest.raises(UnreachableError, match="Helm could not read release"):
        SdkHelm(str(path), "pi").release("demo", "default")


def test_values_never_show_in_representations(tmp_path: Path) -> None:
    assert "s3cret" not in repr(release("x", tmp_path, password="s3cret"))


def test_ctrl_c_cancels_and_comes_through() -> None:
    cancelled = threading.Event()

    def action() -> bool:
        _thread.interrupt_main()
        return cancelled.wait(10)

    with pytest.raises(KeyboardInterrupt):
        _in_thread(action, cancelled.set)
    assert cancelled.is_set()


def test_errors_come_out_of_the_thread() -> None:
    def action() -> None:
        raise LookupError("x")

    with pytest.raises(LookupError):
        _in_thread(action)
