"""Checks of notebooks 14 to 16, the releases, and the catalogue."""

import re

import pytest
import yaml
from fake_context import (
    ROOT,
    FakeCluster,
    b64,
    bad,
    config_values,
    context,
    control_plane_objects,
    installed,
    pod,
    release,
    verdicts,
)
from make_certs import YEAR, issue

from runbook import linkerd
from runbook.errors import InvalidError, ParameterError
from runbook.linkerd.catalogue import BEYOND, CATALOGUE, answering
from runbook.linkerd.trust import injector

PLAN = {"mode": "plan"}
AFTER = (
    linkerd.linkerd_config,
    linkerd.control_plane_objects,
    linkerd.control_plane_pods,
    linkerd.control_plane_versions,
    linkerd.extensions,
    linkerd.linkerd_crds,
    linkerd.trust_roots,
    linkerd.webhooks,
    linkerd.injector,
)


@pytest.mark.parametrize("check", AFTER)
def test_a_healthy_control_plane(check):
    assert bad(check, installed()) == {}


@pytest.mark.parametrize("check", [check for check in AFTER if check is not linkerd.extensions])
def test_nothing_installed_fails_except_in_plan_mode(check):
    assert "pass" not in verdicts(check, context()).values()
    assert "fail" in verdicts(check, context()).values()
    [outcome] = check(context(**PLAN))
    assert outcome.verdict == "skip"
    assert "not there yet: 1" in outcome.seen


def test_2_11_brings_its_crds_with_its_one_chart():
    old = context(line="stable-2.11")
    assert linkerd.crds_release(old) is None
    assert bad(linkerd.linkerd_crds, old) == {"linkerd-crds": "skip"}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda crd: crd["spec"].update(versions=[]), "serves nothing, not v1beta3"),
        (lambda crd: crd["status"].update(conditions=[]), "is not established"),
        (lambda crd: crd["metadata"].update(name="x"), "is missing"),
    ],
)
def test_crds_of_another_line_or_half_installed(change, told):
    chosen = installed()
    name = "servers.policy.linkerd.io"
    crd = chosen.cluster.edit("CustomResourceDefinition", name)
    chosen.cluster.remove("CustomResourceDefinition", name)
    change(crd)
    chosen.cluster.add(crd)
    [outcome] = linkerd.linkerd_crds(chosen)
    assert outcome.verdict == "fail"
    assert told in outcome.seen


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"identityTrustDomain": "other"}, "identityTrustDomain"),
        ({"identity": {"externalCA": False, "issuer": {"scheme": "linkerd.io/tls"}}}, "scheme"),
    ],
)
def test_a_configuration_that_is_not_what_was_asked_for(change, key):
    chosen = installed()
    config = chosen.cluster.edit("ConfigMap", "linkerd-config")
    config["data"]["values"] = yaml.safe_dump(config_values() | change)
    [outcome] = linkerd.linkerd_config(chosen)
    assert outcome.verdict == "fail"
    assert key in outcome.seen


@pytest.mark.parametrize("text", ["", "[", "- a", "just text"])
def test_a_configuration_that_cannot_be_read(text):
    chosen = installed()
    chosen.cluster.edit("ConfigMap", "linkerd-config")["data"]["values"] = text
    assert bad(linkerd.linkerd_config, chosen) == {"linkerd-config": "fail"}


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        ("ClusterRole", "linkerd-linkerd-identity", "exist-clusterroles"),
        ("ClusterRoleBinding", "linkerd-linkerd-identity", "exist-clusterrolebindings"),
        ("ServiceAccount", "linkerd-destination", "exist-serviceaccounts"),
        ("ServiceAccount", "linkerd-heartbeat", "exist-heartbeat"),
        (
            "ValidatingWebhookConfiguration",
            "linkerd-policy-validator-webhook-config",
            "exist-validatingwebhookconfigurations",
        ),
    ],
)
def test_a_missing_object_is_named(kind, name, expected):
    chosen = installed()
    chosen.cluster.remove(kind, name)
    assert bad(linkerd.control_plane_objects, chosen) == {expected: "fail"}
    assert any(name in outcome.seen for outcome in linkerd.control_plane_objects(chosen))


def waiting(name, reason, restarts=3, message=""):
    return {
        "name": name,
        "ready": False,
        "restartCount": restarts,
        "state": {"waiting": {"reason": reason}},
        "lastState": {"terminated": {"exitCode": 1, "message": message}},
    }


def unwell(component, **status):
    chosen = installed()
    chosen.cluster.remove("Pod", f"linkerd-{component}-abc")
    chosen.cluster.add(pod(component, **status))
    return {o.id: o for o in linkerd.control_plane_pods(chosen) if o.verdict != "pass"}


def test_an_identity_that_crashes_tells_its_last_words():
    message = "Failed to read trust anchors: not a PEM certificate"
    status = [waiting("identity", "CrashLoopBackOff", message=message)]
    outcome = unwell("identity", containerStatuses=status)["ready-linkerd-identity"]
    assert outcome.verdict == "fail"
    assert message in outcome.seen
    assert "trust anchor" in outcome.why


def test_the_log_of_a_crashing_container_is_quoted():
    chosen = installed()
    chosen.cluster.log = "starting\nfailed to verify issuer credentials\n"
    status = [waiting("identity", "CrashLoopBackOff")]
    chosen.cluster.add(pod("identity", "linkerd-identity-abc", containerStatuses=status))
    outcome = next(o for o in linkerd.control_plane_pods(chosen) if o.verdict == "fail")
    assert "its log ends: failed to verify issuer credentials" in outcome.seen
    assert "does not sign" in outcome.why


def test_a_native_sidecar_that_is_not_ready_counts():
    status = [{"name": "linkerd-proxy", "ready": False}]
    found = unwell("destination", initContainerStatuses=status)
    assert found["ready-linkerd-destination"].verdict == "fail"
    assert found["control-plane-proxies"].verdict == "fail"


def test_linkerd_init_that_crashes_is_iptables():
    status = [waiting("linkerd-init", "CrashLoopBackOff", message="iptables: RULE_APPEND failed")]
    outcome = unwell(
        "proxy-injector", phase="Pending", containerStatuses=[], initContainerStatuses=status
    )["ready-linkerd-proxy-injector"]
    assert "RULE_APPEND failed" in outcome.seen
    assert "iptables" in outcome.why


def test_a_pod_without_a_node_is_told_with_the_scheduler_s_words():
    status = {
        "phase": "Pending",
        "conditions": [
            {
                "type": "PodScheduled",
                "status": "False",
                "reason": "Unschedulable",
                "message": "0/5 nodes are available",
            }
        ],
        "containerStatuses": [],
    }
    found = unwell("identity", **status)
    assert found["no-unschedulable-pods"].verdict == "warn"
    assert "0/5 nodes" in found["ready-linkerd-identity"].seen


@pytest.mark.parametrize(("status", "expected"), [("True", "fail"), ("False", "pass")])
def test_a_replica_set_that_cannot_create_its_pods(status, expected):
    chosen = installed()
    failure = {"type": "ReplicaFailure", "status": status, "message": "exceeded quota"}
    chosen.cluster.add(
        {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {"name": "linkerd-identity-1", "namespace": "linkerd"},
            "status": {"conditions": [failure]},
        }
    )
    outcomes = {o.id: o for o in linkerd.control_plane_pods(chosen)}
    outcome = outcomes["control-plane-replica-sets"]
    assert outcome.verdict == expected
    assert ("exceeded quota" in outcome.seen) == (expected == "fail")


def test_one_replica_of_two_is_a_warning():
    chosen = installed()
    second = pod("identity", "second", containerStatuses=[{"name": "identity", "ready": False}])
    chosen.cluster.add(second)
    found = verdicts(linkerd.control_plane_pods, chosen)
    assert found["ready-linkerd-identity"] == "warn"


def test_a_pod_without_a_proxy_fails():
    chosen = installed()
    naked = pod("identity", "linkerd-identity-abc")
    naked["spec"]["initContainers"] = []
    chosen.cluster.add(naked)
    assert bad(linkerd.control_plane_pods, chosen) == {"control-plane-proxies": "fail"}


def test_other_versions_are_a_warning():
    chosen = installed(chart_version="2026.8.3")
    assert bad(linkerd.control_plane_versions, chosen) == {"control-plane-version": "warn"}
    chosen = installed()
    old = pod("identity", "linkerd-identity-abc")
    old["spec"]["initContainers"][1]["image"] = "cr.l5d.io/linkerd/proxy:edge-25.10.7"
    chosen.cluster.add(old)
    assert bad(linkerd.control_plane_versions, chosen) == {"control-plane-proxy-version": "warn"}


def test_replicas_count_only_with_high_availability():
    chosen = installed()
    assert bad(linkerd.replicas, chosen) == {"control-plane-replicas": "skip"}
    config = chosen.cluster.edit("ConfigMap", "linkerd-config")
    config["data"]["values"] = yaml.safe_dump(config_values() | {"highAvailability": True})
    assert bad(linkerd.replicas, chosen) == {"control-plane-replicas": "warn"}


def test_two_namespaces_of_one_extension_are_a_warning():
    chosen = context()
    for name in ("viz-a", "viz-b"):
        chosen.cluster.add(
            {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {"name": name, "labels": {"linkerd.io/extension": "viz"}},
            }
        )
    [outcome] = linkerd.extensions(chosen)
    assert outcome.verdict == "warn"
    assert "viz in viz-a and viz-b" in outcome.seen


OTHER = issue("picluster-ca")


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("roots", {"trust-roots-configmap": "fail"}),
        ("config", {"trust-roots-config": "fail"}),
        ("helm", {"trust-roots-helm": "fail"}),
        ("empty", {"trust-roots-configmap": "fail"}),
        ("both", {"trust-roots-configmap": "warn"}),
    ],
)
def test_every_place_that_holds_the_anchor_is_compared(place, expected):
    chosen = installed()
    roots = chosen.cluster.edit("ConfigMap", "linkerd-identity-trust-roots")["data"]
    if place == "roots":
        roots["ca-bundle.crt"] = OTHER.pem
    elif place == "empty":
        roots["ca-bundle.crt"] = ""
    elif place == "both":
        roots["ca-bundle.crt"] = OTHER.pem + ROOT.pem
    elif place == "config":
        values = yaml.safe_dump(config_values(OTHER))
        chosen.cluster.edit("ConfigMap", "linkerd-config")["data"]["values"] = values
    else:
        chosen.helm.releases["linkerd-control-plane"] = release(identityTrustAnchorsPEM=OTHER.pem)
    assert bad(linkerd.trust_roots, chosen) == expected


def test_with_an_external_ca_only_the_config_map_counts():
    chosen = installed()
    values = config_values() | {"identityTrustAnchorsPEM": "", "identity": {"externalCA": True}}
    config = chosen.cluster.edit("ConfigMap", "linkerd-config")
    config["data"]["values"] = yaml.safe_dump(values)
    assert verdicts(linkerd.trust_roots, chosen) == {"trust-roots-configmap": "pass"}


def webhook_with(one, bundle=None):
    chosen = installed()
    chosen.cluster.edit("Secret", "linkerd-sp-validator-k8s-tls")["data"] = {
        "tls.crt": b64(one.pem),
        "tls.key": b64(one.key_pem),
    }
    name = "linkerd-sp-validator-webhook-config"
    config = chosen.cluster.edit("ValidatingWebhookConfiguration", name)
    config["webhooks"][0]["clientConfig"]["caBundle"] = b64((bundle or one).pem)
    return bad(linkerd.webhooks, chosen)


SP = "linkerd-sp-validator.linkerd.svc"


def test_webhook_certificates():
    good = issue(SP, ca=False, dns=(SP,), lasts=YEAR)
    assert webhook_with(good) == {}
    assert webhook_with(good, OTHER) == {"webhook-sp-validator-chain": "fail"}
    elsewhere = issue(SP, ca=False, dns=("x.svc",), lasts=YEAR)
    assert webhook_with(elsewhere) == {"webhook-sp-validator-name": "fail"}
    short = issue(SP, ca=False, dns=(SP,), lasts=YEAR / 12)
    assert webhook_with(short) == {"webhook-sp-validator-lifetime": "warn"}


def test_webhook_configurations_without_a_bundle_or_secret():
    chosen = installed()
    name = "linkerd-proxy-injector-webhook-config"
    config = chosen.cluster.edit("MutatingWebhookConfiguration", name)
    config["webhooks"][0]["clientConfig"] = {}
    assert bad(linkerd.webhooks, chosen) == {"webhook-proxy-injector": "fail"}
    config["webhooks"][0]["clientConfig"] = {"caBundle": "%%%"}
    assert bad(linkerd.webhooks, chosen) == {"webhook-proxy-injector": "fail"}
    chosen.cluster.remove("Secret", "linkerd-policy-validator-k8s-tls")
    assert "webhook-policy-validator" in bad(linkerd.webhooks, chosen)


def test_an_injector_that_does_nothing_is_tried_again_and_then_fails():
    chosen = installed()
    chosen.cluster.injects = False
    pauses = []
    [outcome] = injector(chosen, pause=pauses.append)
    assert outcome.verdict == "fail"
    assert len(pauses) == 4
    assert len(chosen.cluster.created) == 5


def test_an_injector_that_wakes_up_passes():
    chosen = installed()
    chosen.cluster.injects = False

    def wake(_seconds):
        chosen.cluster.injects = True

    [outcome] = injector(chosen, pause=wake)
    assert outcome.verdict == "pass"


def test_a_refused_pod_is_told():
    chosen = installed()

    def refuse(obj, *, dry_run):
        raise InvalidError("the pod is refused", why="quota", fix="raise it")

    chosen.cluster.create = refuse
    [outcome] = injector(chosen)
    assert (outcome.verdict, outcome.seen, outcome.why) == ("fail", "the pod is refused", "quota")


def test_the_releases_of_the_default_line():
    chosen = installed()
    crds = linkerd.crds_release(chosen)
    assert (crds.name, crds.chart, crds.version) == ("linkerd-crds", "linkerd-crds", "2026.6.3")
    assert crds.source == "https://helm.linkerd.io/edge"
    plane = linkerd.control_plane_release(chosen)
    assert plane.values["identityTrustAnchorsPEM"] == ROOT.pem.strip()
    assert linkerd.control_plane_release(chosen) == plane


def test_the_chart_source_is_the_parameter_then_the_rehearsal_then_the_line():
    chosen = installed()
    chosen.cluster.chart_repository = "http://127.0.0.1:1/charts"
    assert linkerd.crds_release(chosen).source == "http://127.0.0.1:1/charts"
    given = installed(chart_source="/charts")
    given.cluster.chart_repository = "http://127.0.0.1:1/charts"
    assert linkerd.crds_release(given).source == "/charts"


def test_in_plan_mode_the_control_plane_can_be_planned_without_an_anchor():
    plane = linkerd.control_plane_release(context(**PLAN))
    assert "not there yet" in plane.values["identityTrustAnchorsPEM"]


def test_references_in_values_are_resolved_and_made_known_as_secret(monkeypatch):
    monkeypatch.setenv("RUNBOOK_TEST", "hunter2hunter2")
    chosen = installed(values={"a": "env:RUNBOOK_TEST", "b": "secret:linkerd/extra/token"})
    extra = {"apiVersion": "v1", "kind": "Secret", "data": {"token": b64("s3cret-token")}}
    chosen.cluster.add(extra | {"metadata": {"name": "extra", "namespace": "linkerd"}})
    plane = linkerd.control_plane_release(chosen)
    assert (plane.values["a"], plane.values["b"]) == ("hunter2hunter2", "s3cret-token")
    assert "hunter2hunter2" not in chosen.redactor.text("x hunter2hunter2 s3cret-token")
    assert chosen.params.values["a"] == "env:RUNBOOK_TEST"


def test_a_reference_that_leads_nowhere_is_an_error():
    with pytest.raises(ParameterError, match="leads nowhere"):
        linkerd.control_plane_release(installed(values={"a": "secret:linkerd/none/x"}))


def every_outcome():
    chosen = installed()
    for name in linkerd.__all__:
        check = getattr(linkerd, name)
        returned = getattr(check, "__annotations__", {}).get("return", "")
        if returned == "Iterator[Outcome]" and name != "charts":
            yield from check(chosen)


def test_every_line_of_linkerd_check_that_an_outcome_names_exists():
    for outcome in every_outcome():
        assert not outcome.linkerd or answering(outcome.linkerd), outcome


def test_every_id_in_the_catalogue_is_of_a_real_outcome_of_that_line():
    outcomes = list(every_outcome())
    for entry in CATALOGUE:
        assert entry.ids or entry.note, entry
        for beginning in entry.ids:
            named = [o for o in outcomes if o.id.startswith(beginning)]
            assert named, (entry.description, beginning)
    for beginning in BEYOND:
        named = [o for o in outcomes if o.id.startswith(beginning)]
        assert named, beginning
        assert not any(o.linkerd for o in named), beginning


def test_the_catalogue_is_found_by_line():
    assert answering("no unschedulable pods").ids == ("no-unschedulable-pods",)
    assert answering("no such line") is None


def test_ids_are_stable_words():
    for outcome in every_outcome():
        assert re.fullmatch(r"[a-z0-9-]+", outcome.id), outcome.id
        assert outcome.title


def test_every_line_has_its_objects():
    for line in ("stable-2.14", "edge-2.19", "edge-2.20"):
        chosen = context(FakeCluster(), line=line)
        chosen.cluster.add(*control_plane_objects(chosen.line))
        assert bad(linkerd.linkerd_crds, chosen) == {}
