"""The observability notebooks' work on a rehearsal cluster, then one thing wrong at a time."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from runbook import checks, linkerd, manifests, observability
from runbook.errors import InvalidError
from runbook.observability.monitors import NAMES, pod_monitors
from runbook.rehearsal import Twin, mishaps
from runbook.rehearsal.client import Client
from runbook.rehearsal.controllers import kinds
from runbook.rehearsal.controllers.prometheusoperator.kinds import PROMETHEUSES
from runbook.rehearsal.faults import Fault
from runbook.step import Step, open_step

CHECKS = [
    getattr(observability, name)
    for name in observability.__all__
    if getattr(getattr(observability, name), "__annotations__", {}).get("return")
    == "Iterator[Outcome]"
]
HOST = "linkerd.picluster.home"
STACK = "kube-prometheus-stack"


def opened(twin: Twin, notebook: str = "23-prometheus-scrape", **given: Any) -> Step:
    """Open a step that shows nothing."""
    common = {"viz_host": HOST, "scrape_interval": "1s", "timeout": 60, "create_ca": True}
    variables = {"cluster": "rehearsal", "kubeconfig": str(twin.kubeconfig), **common, **given}
    variables["In"] = ["# Parameters\n" + "\n".join(f"{name} = 0" for name in variables)]
    return open_step(notebook, variables, display=lambda _: None)


def carry(step: Step, *wanted: Any) -> int:
    """Plan, apply, wait; give how many changes there were."""
    plan = step.plan(*wanted)
    step.apply(plan)
    step.wait(plan)
    return len(plan.pending)


def everything(step: Step) -> int:
    """Do what notebooks 20 to 24 do; give how many changes there were."""
    return sum(
        [
            carry(step, observability.viz_namespace(step)),
            carry(step, observability.viz_release(step)),
            carry(step, *observability.dashboard_ingress(step)),
            carry(step, *observability.scrape_objects(step)),
            carry(step, *observability.dashboard_maps(step)),
        ]
    )


@pytest.fixture(scope="module")
def twin() -> Iterator[Twin]:
    with Twin() as running:
        yield running


@pytest.fixture(scope="module")
def client(twin: Twin) -> Client:
    return Client.from_kubeconfig(twin.kubeconfig)


@pytest.fixture(scope="module")
def step(twin: Twin) -> Iterator[Step]:
    """A step on a cluster with Linkerd, Viz, scraping and dashboards."""
    made = opened(twin)
    carry(made, *linkerd.root_ca(made))
    carry(made, manifests.namespace(made.line, made.params))
    carry(made, manifests.identity_issuer(made.params))
    carry(made, linkerd.crds_release(made))
    carry(made, linkerd.control_plane_release(made))
    everything(made)
    assert found(observability.scrape_targets, made) == {}  # waits for Prometheus to take them up
    yield made
    made.cluster.close()


def found(check: Any, step: Step) -> dict[str, checks.Outcome]:
    """Give what is not well, as the table of a notebook would have it."""
    verdicts = checks.run([check], step)
    return {o.id: o for o in verdicts.outcomes if o.verdict in ("fail", "warn")}


def eventually(check: Any, step: Step, told: Callable[[dict[str, checks.Outcome]], bool]) -> Any:
    """Wait until what is not well satisfies a condition."""
    deadline = time.monotonic() + 60
    while not told(seen := found(check, step)):
        assert time.monotonic() < deadline, seen
        time.sleep(0.2)
    return seen


def test_all_is_well(step: Step) -> None:
    wrong = {key: o for check in CHECKS for key, o in found(check, step).items()}
    known = {"viz-users", "grafana-links"}  # no password was given, and Grafana is not at /grafana/
    assert {key: o.seen for key, o in wrong.items() if key not in known} == {}
    assert set(wrong) == known


def test_again_there_is_nothing_to_do(step: Step) -> None:
    assert everything(step) == 0


def test_verifying_needs_no_waiting(twin: Twin, step: Step) -> None:
    reading = opened(twin, mode="verify")
    assert {o.verdict for o in observability.scrape_targets(reading)} == {"pass"}
    reading.cluster.close()


@contextmanager
def prometheus_with(client: Client, **spec: Any) -> Iterator[None]:
    """Change the Prometheus object for a while."""
    name = f"{STACK}-prometheus"
    before = client.get(PROMETHEUSES, name, "k3s-monitoring")["spec"]
    client.patch(PROMETHEUSES, name, {"spec": spec}, "k3s-monitoring")
    try:
        yield
    finally:
        back = {key: before.get(key) for key in spec}
        client.patch(PROMETHEUSES, name, {"spec": back}, "k3s-monitoring")


def test_prometheus_selects_none_of_them(step: Step, client: Client, twin: Twin) -> None:
    selector = {"matchLabels": {"release": "another"}}
    reading = opened(twin, mode="verify")
    with prometheus_with(client, podMonitorSelector=selector):
        seen = found(observability.monitors_selected, reading)
        assert set(seen) == {f"selected-k3s-monitoring-{name}" for name in NAMES}
        first = seen[f"selected-k3s-monitoring-{NAMES[0]}"]
        assert (first.verdict, first.expected) == ("fail", "release: another")
        assert first.seen == f"release: {STACK}"
        gone = eventually(observability.scrape_targets, reading, lambda w: len(w) == 2 and _none(w))
        assert all("is it selected?" in outcome.why for outcome in gone.values())
        # The plan knows the way out: it takes the label from the Prometheus object.
        change = reading.plan(*observability.scrape_objects(reading)).changes[0]
        assert "+    release: another" in change.diff
    eventually(observability.scrape_targets, reading, lambda w: not w)
    reading.cluster.close()


def _none(wrong: dict[str, checks.Outcome]) -> bool:
    return all(one.seen.endswith(("are no targets", "no targets")) or "no targets" in one.seen
               for one in wrong.values())  # fmt: skip


def test_targets_that_are_down(step: Step, twin: Twin) -> None:
    number = twin.faults.set(Fault("targets-down", namespace="linkerd"))
    reading = opened(twin, mode="verify")
    try:
        seen = eventually(observability.scrape_targets, reading, lambda w: len(w) == 2)
    finally:
        twin.faults.clear(number)
    for outcome in seen.values():
        assert outcome.verdict == "fail"
        assert outcome.seen.startswith("linkerd/linkerd-")
        assert "does not reach the admin port" in outcome.why
        path = outcome.fix.removeprefix("kubectl get --raw ")
        assert reading.cluster.read(path)["status"] == "success"
    eventually(observability.scrape_targets, reading, lambda w: not w)
    reading.cluster.close()


def test_prometheus_that_cannot_be_reached(step: Step, client: Client) -> None:
    with prometheus_with(client, replicas=0):
        seen = eventually(observability.prometheus_answers, step, bool)
        (outcome,) = seen.values()
        assert outcome.verdict == "fail"
        assert "cannot read from Prometheus" in outcome.seen
        assert outcome.fix
        assert found(observability.series, step)
    eventually(observability.prometheus_answers, step, lambda w: not w)
    # It comes back without its samples: what was there is there again after some scrapes.
    eventually(observability.series, step, lambda w: not w)


def test_grafana_without_its_sidecar(step: Step, client: Client) -> None:
    name, space = f"{STACK}-grafana", "k3s-monitoring"
    pod = client.get(kinds.DEPLOYMENTS, name, space)["spec"]["template"]["spec"]
    mishaps.remove_dashboard_sidecar(client)
    try:
        (outcome,) = found(observability.dashboard_sidecar, step).values()
        assert (outcome.verdict, outcome.seen) == ("fail", "none")
        assert "sidecar.dashboards.enabled" in outcome.fix
        assert found(observability.dashboards_provisioned, step)
    finally:
        patch = {"spec": {"template": {"spec": {"containers": pod["containers"]}}}}
        client.patch(kinds.DEPLOYMENTS, name, patch, space)
    eventually(observability.dashboards_provisioned, step, lambda w: not w)


def test_every_host_is_let_in_only_on_request_and_with_a_warning(twin: Twin, step: Step) -> None:
    wide = opened(twin, viz_host_regexp=".*")
    assert "attacker.example" in found(observability.dashboard_hosts, wide)["viz-hosts"].seen
    carry(wide, observability.viz_release(wide))
    try:
        seen = found(observability.dashboard_reached, wide)
        assert {key: o.verdict for key, o in seen.items()} == {"viz-dashboard-foreign": "warn"}
    finally:
        carry(step, observability.viz_release(step))
    assert found(observability.dashboard_reached, step) == {}
    wide.cluster.close()


def test_the_seeds_own_relabeling_is_refused(step: Step) -> None:
    monitor = pod_monitors(step.line, step.params, {})[0]
    monitor["metadata"]["name"] = "seed"
    rule = monitor["spec"]["podMetricsEndpoints"][0]["relabelings"][-1]
    rule["source_labels"] = ["__address__"]
    with pytest.raises(InvalidError, match="source_labels"):
        step.plan(monitor)


def test_the_charts_own_monitors(twin: Twin, step: Step) -> None:
    chart = opened(twin, pod_monitors="chart")
    carry(chart, *observability.scrape_objects(chart))
    try:
        selected = {o.id: o.verdict for o in observability.monitors_selected(chart)}
        assert selected["selected-linkerd-linkerd-proxy"] == "pass"
        assert selected["monitors-once"] == "warn"  # ours are there as well
        assert carry(chart, linkerd.control_plane_release(chart)) == 0, "15 keeps what 23 set"
        for name in NAMES:
            chart.cluster.delete("monitoring.coreos.com/v1", "PodMonitor", name, "k3s-monitoring")
        assert found(observability.monitors_selected, chart) == {}
        eventually(observability.scrape_targets, chart, lambda w: not w)
        assert found(observability.series, chart) == {}
    finally:
        carry(step, linkerd.control_plane_release(step))
        carry(step, *observability.scrape_objects(step))
    eventually(observability.scrape_targets, step, lambda w: not w)
    chart.cluster.close()


# --- the password, and Traefik's API groups ------------------------------------------------------


def users(password: str) -> dict[str, Any]:
    """Give a Secret with one user, hashed as ``htpasswd -s`` does."""
    digest = base64.b64encode(hashlib.sha1(password.encode()).digest()).decode()
    line = f"anna:{{SHA}}{digest}\n"
    data = {"users": base64.b64encode(line.encode()).decode()}
    meta = {"name": "viz-users", "namespace": "linkerd-viz"}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": data}


def test_a_password_is_asked_for_and_never_shown(twin: Twin, step: Step) -> None:
    step.cluster.create(users("correct horse battery"))
    asking = opened(twin, "22-viz-ingress", viz_users_secret="viz-users")
    try:
        assert found(observability.ingress_controller, asking) == {}
        plan = asking.plan(*observability.dashboard_ingress(asking))
        assert "SHA" not in str(plan)
        asking.apply(plan)
        asking.wait(plan)
        assert found(observability.dashboard_reached, asking) == {}
        assert asking.cluster.page("kube-system", "traefik", "websecure", tls=True, host=HOST)\
            .status == 401  # fmt: skip
    finally:
        for kind, version in (("Middleware", "traefik.io/v1alpha1"), ("Secret", "v1")):
            name = "viz-users" if kind == "Secret" else "linkerd-viz"
            asking.cluster.delete(version, kind, name, "linkerd-viz")
        asking.cluster.delete("networking.k8s.io/v1", "Ingress", "linkerd-viz", "linkerd-viz")
        carry(step, *observability.dashboard_ingress(step))
    asking.cluster.close()


def test_a_password_that_is_not_in_effect_is_found(twin: Twin, step: Step) -> None:
    """The Ingress without its annotation lets everybody in, whatever the Middleware says."""
    asking = opened(twin, "22-viz-ingress", viz_users_secret="viz-users", mode="verify")
    seen = eventually(observability.dashboard_reached, asking, bool)
    assert {key: o.verdict for key, o in seen.items()} == {"viz-ingress": "fail"}
    assert "lets everybody in" in seen["viz-ingress"].why
    asking.cluster.close()


@pytest.fixture
def fresh() -> Iterator[Twin]:
    with Twin() as running:
        yield running


def test_traefik_before_2_10_has_another_group(fresh: Twin) -> None:
    mishaps.downgrade_traefik(Client.from_kubeconfig(fresh.kubeconfig))
    step = opened(fresh, "22-viz-ingress", viz_users_secret="viz-users")
    middleware = observability.dashboard_ingress(step)[1]
    assert middleware["apiVersion"] == "traefik.containo.us/v1alpha1"
    step.cluster.close()


def test_traefik_without_its_crds(fresh: Twin) -> None:
    mishaps.remove_middlewares(Client.from_kubeconfig(fresh.kubeconfig))
    step = opened(fresh, "22-viz-ingress", viz_users_secret="viz-users")
    seen = found(observability.ingress_controller, step)
    assert seen["traefik-middlewares"].verdict == "fail"
    assert "traefik-crd" in seen["traefik-middlewares"].fix
    step.cluster.close()


def test_without_prometheus_operator(fresh: Twin) -> None:
    mishaps.remove_monitoring(Client.from_kubeconfig(fresh.kubeconfig))
    step = opened(fresh)
    for check in (observability.monitoring_stack, observability.monitors_possible):
        (outcome,) = found(check, step).values()
        assert outcome.verdict == "fail"
        assert "prometheus-operator is not installed" in outcome.seen + outcome.why
    step.cluster.close()
