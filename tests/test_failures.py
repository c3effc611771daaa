"""What goes wrong on a cluster, on a whole rehearsal: it ends soon, with the reason, in words."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import chart_server
import pytest
import yaml
from scripted_api import Target

from runbook.applied import Applied, carry_out, workloads
from runbook.cluster import Cluster, connect
from runbook.errors import ForbiddenError, WaitError
from runbook.helm import Release, open_helm
from runbook.plan import plan_objects, plan_release
from runbook.rehearsal import Twin
from runbook.rehearsal.faults import Fault
from runbook.step import open_step

Object = dict[str, Any]

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Release.Name }}
spec:
  selector:
    matchLabels: {app: demo}
  template:
    metadata:
      labels: {app: demo}
    spec:
      containers:
        - name: demo
          image: example.com/demo:1
"""


@pytest.fixture(scope="module")
def twin() -> Iterator[Twin]:
    with Twin() as running:
        yield running


@pytest.fixture
def cluster(twin: Twin) -> Iterator[Cluster]:
    opened = connect(Target(str(twin.kubeconfig), cluster="rehearsal"))
    yield opened
    opened.close()
    twin.faults.clear()


@pytest.fixture
def home(cluster: Cluster, request: pytest.FixtureRequest) -> str:
    """Give a namespace of the test's own."""
    name = re.sub(r"[^a-z]+", "-", request.node.name)[:60].strip("-")
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    return name


def deployment(home: str) -> Object:
    pod = {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "web", "image": "example.com/web:1"}]},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": home},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": pod},
    }


def certificate(home: str, issuer: str = "test-ca") -> Object:
    return {
        "apiVersion": "cert-manager.io/v1",
        "kind": "Certificate",
        "metadata": {"name": "c", "namespace": home},
        "spec": {
            "secretName": "c",
            "commonName": "c",
            "dnsNames": ["c.example"],
            "issuerRef": {"kind": "ClusterIssuer", "name": issuer, "group": "cert-manager.io"},
        },
    }


def issuer(name: str, spec: Object) -> Object:
    meta = {"name": name}
    return {"apiVersion": "cert-manager.io/v1", "kind": "ClusterIssuer", "metadata": meta} | {
        "spec": spec
    }


def test_everything_well(cluster: Cluster, home: str) -> None:
    wanted = [issuer("test-ca", {"selfSigned": {}}), certificate(home), deployment(home)]
    for obj in wanted:
        cluster.apply(obj)
    assert [w.kind for w in cluster.wait_ready(wanted, 60)]
    assert plan_objects(cluster, wanted).empty


def test_crash_loop(cluster: Cluster, home: str, twin: Twin) -> None:
    words = "Failed to read trust anchors: not a PEM certificate"
    twin.faults.set(Fault("crash", namespace=home, message=words))
    cluster.apply(deployment(home))
    with pytest.raises(WaitError, match="will not become available") as caught:
        cluster.wait_ready([deployment(home)], 600)
    assert "container web of pod web-" in caught.value.why
    assert f"| {words}" in caught.value.why
    assert caught.value.fix.endswith("-c web --previous")


def test_a_mended_deployment_gets_ready_beside_its_crashing_pods(
    cluster: Cluster, home: str, twin: Twin
) -> None:
    number = twin.faults.set(Fault("crash", namespace=home))
    cluster.apply(deployment(home))
    with pytest.raises(WaitError):
        cluster.wait_ready([deployment(home)], 600)
    twin.faults.clear(number)
    mended = deployment(home)
    mended["spec"]["template"]["spec"]["containers"][0]["image"] = "example.com/web:2"
    cluster.apply(mended)
    assert cluster.wait_ready([mended], 120)


def test_unschedulable(cluster: Cluster, home: str, twin: Twin) -> None:
    twin.faults.set(Fault("unschedulable", namespace=home, message="Insufficient memory"))
    cluster.apply(deployment(home))
    with pytest.raises(WaitError, match=r"fits no node: .*Insufficient memory"):
        cluster.wait_ready([deployment(home)], 600)


def test_certificate_that_is_refused(cluster: Cluster, home: str, twin: Twin) -> None:
    cluster.apply(issuer("test-ca", {"selfSigned": {}}))
    twin.faults.set(Fault("never-ready", namespace=home, message="the request was denied"))
    cluster.apply(certificate(home))
    with pytest.raises(WaitError, match=f"Certificate {home}/c will not become ready") as caught:
        cluster.wait_ready([certificate(home)], 600)
    assert "the request was denied" in caught.value.why


def test_issuer_that_is_not_ready(cluster: Cluster, home: str) -> None:
    cluster.apply(issuer("broken", {"ca": {"secretName": "no-such-secret"}}))
    cluster.apply(certificate(home, "broken"))
    with pytest.raises(WaitError, match="its ClusterIssuer broken is not ready") as caught:
        cluster.wait_ready([certificate(home, "broken")], 600)
    assert "no-such-secret" in caught.value.why


def test_issuer_that_does_not_exist(cluster: Cluster, home: str) -> None:
    cluster.apply(certificate(home, "nobody"))
    with pytest.raises(WaitError, match="its ClusterIssuer nobody does not exist"):
        cluster.wait_ready([certificate(home, "nobody")], 600)


def test_slow_pods_are_waited_for_and_a_timeout_says_what_was_seen(
    cluster: Cluster, home: str, twin: Twin
) -> None:
    twin.faults.set(Fault("slow", namespace=home, seconds=30))
    cluster.apply(deployment(home))
    with pytest.raises(WaitError, match="0 of 1 replicas available"):
        cluster.wait_ready([deployment(home)], 2)


def test_a_wait_survives_a_troubled_api(cluster: Cluster, home: str, twin: Twin) -> None:
    twin.faults.set(Fault("slow", namespace=home, seconds=3))
    cluster.apply(deployment(home))
    for fault in (
        Fault("api", verb="list", resource="deployments", status=503, times=3),
        Fault("api", verb="watch", resource="deployments", status=500, times=1),
        Fault("api", verb="list", resource="pods", status=429, retry_after=1, times=1),
    ):
        twin.faults.set(fault)
    dropping = threading.Timer(1.5, twin.faults.set, [Fault("drop-watches")])
    dropping.start()
    assert cluster.wait_ready([deployment(home)], 60)
    dropping.join()


def test_release_whose_pods_crash(cluster: Cluster, home: str, twin: Twin, tmp_path: Path) -> None:
    twin.faults.set(Fault("crash", namespace=home, message="no such trust domain"))
    helm = open_helm(cluster)
    chart = chart_server.write(tmp_path, templates={"deployment": DEPLOYMENT})
    release = Release("demo", home, "demo", "1.0.0", str(chart), {})
    helm.install(release, timeout=60)
    with pytest.raises(WaitError, match="no such trust domain"):
        cluster.wait_ready(workloads(cluster, helm, release), 600)
    stored = helm.release("demo", home)
    assert stored is not None
    assert stored.status == "deployed", "Helm did store it; only its pods do not run"
    assert plan_release(helm, cluster, release).empty


def test_a_helm_install_that_was_killed_is_taken_up_again(
    cluster: Cluster, home: str, twin: Twin, tmp_path: Path
) -> None:
    chart = chart_server.write(tmp_path)
    release = Release("demo", home, "demo", "1.0.0", str(chart), {"colour": "red"})
    slow = Fault("api", verb="patch", resource="configmaps", namespace=home, status=0, seconds=60)
    number = twin.faults.set(slow)
    code = (
        "import sys; from runbook.helm import *; from runbook.helm_sdk import SdkHelm\n"
        "kubeconfig, home, chart = sys.argv[1:]\n"
        "release = Release('demo', home, 'demo', '1.0.0', chart, {'colour': 'red'})\n"
        "SdkHelm(kubeconfig, 'rehearsal').install(release, timeout=60)\n"
    )
    arguments = [sys.executable, "-c", code, str(twin.kubeconfig), home, str(chart)]
    with subprocess.Popen(arguments) as installing:
        cluster.wait(
            *("v1", "Secret", "sh.helm.release.v1.demo.v1", home),
            until=lambda secret: secret["metadata"]["labels"]["status"] == "pending-install",
            timeout=60,
        )
        installing.kill()
    twin.faults.clear(number)

    helm = open_helm(cluster)
    plan = plan_release(helm, cluster, release)
    assert plan.interrupted == "sh.helm.release.v1.demo.v1"
    carry_out(plan, cluster, helm, Applied("Apply"), timeout=60)
    stored = helm.release("demo", home)
    assert stored is not None
    assert (stored.revision, stored.status) == (1, "deployed")
    assert cluster.get("v1", "ConfigMap", "demo", home)["data"]["colour"] == "red"
    assert plan_release(helm, cluster, release).empty


def test_no_permission_touches_nothing(twin: Twin, cluster: Cluster, tmp_path: Path) -> None:
    config = yaml.safe_load(twin.kubeconfig.read_text())
    config["users"][0]["user"]["as"] = "jane"
    path = tmp_path / "jane"
    path.write_text(yaml.safe_dump(config))
    step = open_step("11-linkerd-namespace", {"kubeconfig": str(path)}, display=lambda _: None)
    obj = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "janes"}}
    with pytest.raises(ForbiddenError, match="cannot get namespaces") as caught:
        step.plan(obj)
    assert "jane" in caught.value.why
    assert "kubectl auth can-i" in caught.value.fix
    with pytest.raises(ForbiddenError, match=r"cannot create deployments\.apps in namespace"):
        step.cluster.create(deployment("default"))
    step.cluster.close()
    assert cluster.find("v1", "Namespace", "janes") is None
