"""The checks on a rehearsal cluster: everything installed, then one thing wrong at a time."""

import time
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import yaml
from make_certs import issue

from runbook import linkerd, manifests
from runbook.linkerd.trust import injector
from runbook.notebooks import NOTEBOOKS
from runbook.rehearsal import Twin
from runbook.rehearsal.faults import Fault
from runbook.step import open_step

CHECKS = [
    getattr(linkerd, name)
    for name in linkerd.__all__
    if getattr(getattr(linkerd, name), "__annotations__", {}).get("return") == "Iterator[Outcome]"
]


def opened(kubeconfig, **given):
    """Open a step that shows nothing."""
    variables = {"cluster": "rehearsal", "kubeconfig": str(kubeconfig), **given}
    variables["In"] = ["# Parameters\n" + "\n".join(f"{name} = 0" for name in variables)]
    return open_step("16-verify-control-plane", variables, display=lambda _value: None)


@pytest.fixture(scope="module")
def twin():
    with Twin() as running:
        yield running


@pytest.fixture(scope="module")
def step(twin):
    """A step on a cluster with everything installed."""
    made = opened(twin.kubeconfig, create_ca=True, timeout=60)
    for wanted in (
        linkerd.root_ca(made),
        [manifests.namespace(made.line, made.params)],
        [manifests.identity_issuer(made.params)],
    ):
        plan = made.plan(*wanted)
        made.apply(plan)
        made.wait(plan)
    for release in (linkerd.crds_release, linkerd.control_plane_release):
        plan = made.plan(release(made))
        made.apply(plan)
        made.wait(plan)
    return made


@contextmanager
def replaced(step, kind, name, namespace="", *, by=None, api_version="v1"):
    """Delete an object for a while, or put another in its place."""
    live = step.cluster.get(api_version, kind, name, namespace)
    meta = {key: live["metadata"].get(key) for key in ("name", "namespace", "labels")}
    meta["annotations"] = live["metadata"].get("annotations", {})
    kept = {key: live[key] for key in live if key != "status"}
    kept["metadata"] = {key: value for key, value in meta.items() if value}
    step.cluster.delete(api_version, kind, name, namespace)
    if by is not None:
        step.cluster.create({**kept, **by})
    try:
        yield
    finally:
        if by is not None:
            step.cluster.delete(api_version, kind, name, namespace)
        step.cluster.create(kept)


def failing(check, step):
    return {o.id: o for o in check(step) if o.verdict == "fail"}


def eventually(check, step, id_, told):
    """Wait until a check fails with an id and a text; give that outcome."""
    deadline = time.monotonic() + 60
    found = {}
    while time.monotonic() < deadline:
        found = failing(check, step)
        if id_ in found and told in found[id_].seen:
            return found[id_]
        time.sleep(0.1)
    raise AssertionError(f"{id_} never failed with {told!r}: {found}")


IDENTITY = {"linkerd.io/control-plane-component": "identity"}


def restart_identity(step):
    [(key, value)] = IDENTITY.items()
    for pod in step.cluster.list("v1", "Pod", "linkerd", selector=f"{key}={value}"):
        step.cluster.delete("v1", "Pod", pod["metadata"]["name"], "linkerd")


def test_a_plan_on_an_empty_cluster_fails_no_precondition(twin):
    with Twin() as empty:
        fresh = opened(empty.kubeconfig, mode="plan", create_ca=True)
        wanted = (
            linkerd.cluster_issuer,
            linkerd.root_unclaimed,
            linkerd.linkerd_namespace,
            linkerd.issuer_secret,
            linkerd.issuer_chain,
            linkerd.linkerd_crds,
            linkerd.control_plane_pods,
            linkerd.trust_roots,
        )
        for check in wanted:
            assert not failing(check, fresh), check.__name__


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_everything_is_well_on_an_installed_cluster(step, check):
    outcomes = list(check(step))
    assert outcomes
    assert [o for o in outcomes if o.verdict in ("warn", "fail")] == []


def test_a_trust_root_that_was_replaced(step):
    other = {"data": {"ca-bundle.crt": issue("picluster-ca").pem}}
    with replaced(step, "ConfigMap", "linkerd-identity-trust-roots", "linkerd", by=other):
        assert set(failing(linkerd.trust_roots, step)) == {"trust-roots-configmap"}
    assert not failing(linkerd.trust_roots, step)


def test_an_injector_without_its_webhook(step):
    kind, name = "MutatingWebhookConfiguration", "linkerd-proxy-injector-webhook-config"
    with replaced(step, kind, name, api_version="admissionregistration.k8s.io/v1"):
        [outcome] = injector(step, pause=lambda _seconds: None)
        assert outcome.verdict == "fail"
        assert set(failing(linkerd.webhooks, step)) == {"webhook-proxy-injector"}
    assert not failing(linkerd.webhooks, step)


def test_the_probe_pod_was_never_stored(step):
    assert step.cluster.find("v1", "Pod", "linkerd-runbook-probe", "default") is None


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (Fault("crash", labels=IDENTITY, message="not a PEM certificate"), "PEM certificate"),
        (Fault("unschedulable", labels=IDENTITY, message="0/5 nodes"), "0/5 nodes"),
    ],
    ids=["crash", "unschedulable"],
)
def test_pods_in_trouble_tell_why(step, twin, fault, told):
    number = twin.faults.set(fault)
    try:
        restart_identity(step)
        outcome = eventually(linkerd.control_plane_pods, step, "ready-linkerd-identity", told)
        assert outcome.fix
    finally:
        twin.faults.clear(number)
        restart_identity(step)
        identity = step.cluster.get("apps/v1", "Deployment", "linkerd-identity", "linkerd")
        step.cluster.wait_ready([identity], 60)


def test_a_user_without_permissions_is_told_verb_resource_and_place(step, twin, tmp_path):
    config = yaml.safe_load(twin.kubeconfig.read_text())
    config["users"][0]["user"]["as"] = "visitor"
    config["users"][0]["user"]["as-groups"] = ["system:authenticated"]
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    visitor = opened(path, mode="plan")
    found = failing(linkerd.permissions, visitor)
    assert "create deployments.apps in linkerd" in found["may-create-deployments"].seen
    assert "kubectl auth can-i" in found["may-create-deployments"].fix


def test_every_notebook_s_needs_are_notebooks():
    names = [notebook.name for notebook in NOTEBOOKS]
    for notebook in NOTEBOOKS:
        assert set(notebook.needs) <= set(names[: names.index(notebook.name)])


def test_no_outcome_of_an_installed_cluster_shows_a_key(step):
    shown = SimpleNamespace(text="")
    for check in CHECKS:
        shown.text += repr(list(check(step)))
    assert "PRIVATE KEY" not in shown.text
    assert "LS0tLS1CRUdJTi" not in shown.text
