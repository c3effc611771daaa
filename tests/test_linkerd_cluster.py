"""Checks of notebook 00: the API server, nodes, networks, permissions, leftovers."""

from datetime import timedelta

import pytest
from fake_context import (
    FakeCluster,
    FakeHelm,
    bad,
    conditions,
    context,
    installed,
    lease,
    node,
    obj,
    pod,
    release,
    verdicts,
)
from hypothesis import given
from hypothesis import strategies as st

from runbook import holder, linkerd
from runbook.linkerd import gateway
from runbook.linkerd.quantities import quantity

OLD = {"line": "stable-2.11"}


def on(*objects, version="1.35.0+k3s1", **params):
    return context(FakeCluster(objects, version), **params)


def test_a_pi_cluster_passes():
    chosen = installed()
    for check in (
        linkerd.api_answers,
        linkerd.server_version,
        linkerd.nodes_ready,
        linkerd.node_architecture,
        linkerd.container_runtime,
        linkerd.node_resources,
        linkerd.clocks,
        linkerd.cluster_networks,
        linkerd.existing_install,
        linkerd.helm_releases,
        linkerd.permissions,
    ):
        assert bad(check, chosen) == {}, check.__name__


@pytest.mark.parametrize(
    ("version", "line", "expected"),
    [
        ("1.35.0+k3s1", "edge-2.20", "pass"),
        ("1.36.1+k3s1", "edge-2.20", "warn"),
        ("1.30.1", "edge-2.20", "fail"),
        ("1.25.0", "stable-2.11", "fail"),
        ("1.24.9", "stable-2.11", "warn"),
    ],
)
def test_the_server_version_against_the_line(version, line, expected):
    [outcome] = linkerd.server_version(on(version=version, line=line))
    assert outcome.verdict == expected
    assert outcome.fix or expected == "pass"


def test_nodes_that_are_not_ready_or_cordoned():
    sick = node("sick", conditions=[{"type": "Ready", "status": "Unknown", "reason": "Gone"}])
    [outcome] = linkerd.nodes_ready(on(node(), sick))
    assert (outcome.verdict, outcome.seen) == ("fail", "sick: Gone")
    cordoned = node("c")
    cordoned["spec"]["unschedulable"] = True
    assert bad(linkerd.nodes_ready, on(cordoned)) == {"nodes-ready": "warn"}
    assert bad(linkerd.nodes_ready, on()) == {"nodes-ready": "fail"}


@pytest.mark.parametrize(("line", "expected"), [("edge-2.20", "fail"), ("stable-2.14", "pass")])
def test_32_bit_nodes_run_only_the_old_lines(line, expected):
    [outcome] = linkerd.node_architecture(on(node(), node("old", arch="arm"), line=line))
    assert outcome.verdict == expected
    assert ("old: arm" in outcome.seen) == (expected == "fail")


@pytest.mark.parametrize(
    ("params", "expected"),
    [({}, "fail"), ({"values": {"proxyInit": {"runAsRoot": True}}}, "pass"), (OLD, "pass")],
)
def test_docker_needs_linkerd_init_as_root(params, expected):
    [outcome] = linkerd.container_runtime(on(node(runtime="docker://20.10"), **params))
    assert outcome.verdict == expected


@pytest.mark.parametrize(
    "status",
    [
        {"allocatable": {"memory": "900Mi", "cpu": "4"}},
        {"allocatable": {"memory": "4Gi", "cpu": "500m"}},
        conditions(Ready="True", DiskPressure="True"),
    ],
)
def test_small_or_pressed_nodes_are_a_warning(status):
    assert bad(linkerd.node_resources, on(node(**status))) == {"node-resources": "warn"}


@pytest.mark.parametrize(
    ("age", "expected", "word"),
    [
        (0, "pass", "agree"),
        (50, "pass", "agree"),
        (-15, "pass", "agree"),
        (-40, "warn", "ahead"),
        (120, "warn", "behind"),
        (3600, "fail", "behind"),
        (-3600, "fail", "ahead"),
    ],
)
def test_clocks_are_compared_through_leases(age, expected, word):
    [outcome] = linkerd.clocks(on(node(), lease(age=age)))
    assert outcome.verdict == expected
    assert word in outcome.seen


def test_without_leases_the_heartbeat_counts_with_linkerd_s_own_slack():
    old = node()
    old["status"]["conditions"][0]["lastHeartbeatTime"] = "2026-01-01T11:56:00Z"
    assert bad(linkerd.clocks, on(old)) == {}
    old["status"]["conditions"][0]["lastHeartbeatTime"] = "2026-01-01T11:00:00Z"
    assert bad(linkerd.clocks, on(old)) == {"clocks": "fail"}


def test_what_the_api_cannot_tell_is_said_and_not_judged():
    [outcome] = linkerd.kernels(on(node()))
    assert outcome.verdict == "skip"
    assert "linux-modules-extra-raspi" in outcome.seen


def test_the_request_header_ca_is_a_warning():
    assert bad(linkerd.api_authentication, on()) == {"api-authentication": "warn"}
    config = obj(
        "v1",
        "ConfigMap",
        "extension-apiserver-authentication",
        "kube-system",
        data={"requestheader-client-ca-file": "PEM"},
    )
    assert bad(linkerd.api_authentication, on(config)) == {}


def test_addresses_outside_of_cluster_networks():
    stray = node("n", podCIDR="")
    stray["spec"] = {"podCIDR": "44.0.0.0/24"}
    service = obj("v1", "Service", "web", "default", spec={"clusterIP": "fc00::1"})
    headless = obj("v1", "Service", "none", "default", spec={"clusterIP": "None"})
    found = bad(linkerd.cluster_networks, on(stray, service, headless, pod("identity")))
    assert found == {"cluster-networks-nodes": "fail", "cluster-networks-services": "fail"}


def test_both_networks_of_a_dual_stack_node_count():
    both = node()
    both["spec"]["podCIDRs"] = ["44.0.0.0/24", "fd42::/64"]
    [nodes, *_] = linkerd.cluster_networks(on(both))
    assert (nodes.verdict, nodes.seen) == ("fail", "node1 44.0.0.0/24")


def test_host_network_pods_do_not_count():
    host = pod("x", podIP="44.1.1.1")
    host["spec"]["hostNetwork"] = True
    assert bad(linkerd.cluster_networks, on(host)) == {}


def test_the_user_s_networks_count_and_must_be_networks():
    service = obj("v1", "Service", "web", "default", spec={"clusterIP": "44.0.0.1"})
    assert (
        bad(linkerd.cluster_networks, on(service, values={"clusterNetworks": "44.0.0.0/8"})) == {}
    )
    broken = on(values={"clusterNetworks": "10.0.0.0/8,nonsense"})
    assert bad(linkerd.cluster_networks, broken) == {"cluster-networks": "fail"}


def test_missing_permissions_name_verb_resource_and_place():
    def allowed(verb, resource, group, namespace):
        return (verb, resource) not in {("*", "*"), ("create", "deployments")}

    cluster = FakeCluster(allowed=allowed)
    chosen = context(cluster)
    assert bad(linkerd.permissions, chosen) == {"may-create-deployments": "fail"}
    outcome = next(o for o in linkerd.permissions(chosen) if o.verdict == "fail")
    assert "create deployments.apps in linkerd" in outcome.seen
    assert "kubectl auth can-i create deployments.apps -n linkerd" in outcome.fix
    assert outcome.linkerd == "can create Deployments"


def test_an_administrator_is_asked_one_question():
    asked = []

    def allowed(*question):
        asked.append(question)
        return True

    assert bad(linkerd.permissions, context(FakeCluster(allowed=allowed))) == {}
    assert asked == [("*", "*", "*", "")]


@pytest.mark.parametrize(
    ("version", "where", "params", "expected"),
    [
        ("edge-26.6.3", "linkerd", {}, "pass"),
        ("edge-26.8.3", "linkerd", {}, "warn"),
        ("edge-26.8.3", "linkerd", {"chart_version": "2026.8.3"}, "pass"),
        ("edge-25.10.7", "linkerd", {}, "fail"),
        ("stable-2.14.10", "linkerd", {}, "fail"),
        ("stable-2.13.7", "linkerd", {}, "fail"),
        ("linkerdVersionValue", "linkerd", {}, "warn"),
        ("edge-26.6.3", "mesh", {}, "fail"),
    ],
)
def test_an_install_that_is_there_already(version, where, params, expected):
    config = obj(
        "v1", "ConfigMap", "linkerd-config", where, data={"values": f"linkerdVersion: {version}"}
    )
    found = verdicts(linkerd.existing_install, on(config, **params))
    assert found["existing-install"] == expected


def test_strangers_in_the_namespace_are_a_warning_and_its_end_a_failure():
    namespace = obj("v1", "Namespace", "linkerd", status={"phase": "Active"})
    stranger = obj("v1", "Pod", "mine", "linkerd", spec={"containers": []})
    assert bad(linkerd.existing_install, on(namespace, stranger)) == {"namespace-free": "warn"}
    namespace["status"]["phase"] = "Terminating"
    assert bad(linkerd.existing_install, on(namespace)) == {"namespace-free": "fail"}


def stuck(status="pending-install", revision=1, mark=""):
    record = obj(
        "v1",
        "Secret",
        f"sh.helm.release.v1.linkerd-crds.v{revision}",
        "linkerd",
        {holder.LABEL: mark},
    )
    helm = FakeHelm([release("linkerd-crds", status, revision)])
    [outcome, *_] = linkerd.helm_releases(context(FakeCluster([record]), helm))
    return outcome


def test_a_stuck_release_names_the_way_out():
    assert stuck().verdict == "fail"
    assert stuck().fix.endswith("helm -n linkerd uninstall linkerd-crds")
    upgrade = stuck("pending-upgrade", 3)
    assert upgrade.fix.endswith("helm -n linkerd rollback linkerd-crds 2")


def test_a_release_that_a_killed_run_left_is_taken_up_again():
    assert stuck(mark=holder.mine()).verdict == "fail"
    gone = ".".join([holder.mine().split(".")[0], "999999999", "0"])
    assert stuck(mark=gone).verdict == "warn"


def test_failed_releases_are_warned_about_and_other_lines_refused():
    assert stuck("failed").verdict == "warn"
    helm = FakeHelm([release("linkerd2")])
    found = verdicts(linkerd.helm_releases, context(helm=helm))
    assert found["helm-linkerd2"] == "fail"


def gateway_crd(name="httproutes", version="v1", bundle="v1.2.1", **annotations):
    crd = obj(
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        f"{name}.gateway.networking.k8s.io",
        spec={"versions": [{"name": version, "served": True}]},
    )
    crd["metadata"]["annotations"] = {
        "gateway.networking.k8s.io/bundle-version": bundle,
        **{key.replace("__", "/").replace("_", "."): v for key, v in annotations.items()},
    }
    return crd


OURS = {"linkerd_io__created-by": "linkerd/helm"}


@pytest.mark.parametrize(
    ("crds", "params", "expected"),
    [
        ([], {}, "warn"),
        ([], {"install_gateway_api": True}, "pass"),
        ([], {"line": "stable-2.14"}, "pass"),
        ([], OLD, "skip"),
        ([gateway_crd()], {}, "pass"),
        ([gateway_crd(bundle="v1.6.1")], {}, "warn"),
        ([gateway_crd(bundle="v1.1.1")], {}, "warn"),
        ([gateway_crd(version="v1beta1")], {}, "fail"),
        ([gateway_crd(version="v1beta1")], {"line": "stable-2.14"}, "pass"),
        ([gateway_crd()], {"install_gateway_api": True}, "fail"),
        ([gateway_crd(bundle="v1.2.1", **OURS)], {"install_gateway_api": True}, "pass"),
    ],
)
def test_the_gateway_api(crds, params, expected):
    [outcome] = linkerd.gateway_api(on(*crds, **params))
    assert outcome.verdict == expected, outcome


def test_2_14_brings_the_gateway_api_unless_somebody_else_did():
    assert gateway.wants_gateway_api(on(line="stable-2.14"))
    assert gateway.wants_gateway_api(on(gateway_crd(**OURS), line="stable-2.14"))
    assert not gateway.wants_gateway_api(on(gateway_crd(), line="stable-2.14"))
    assert not gateway.wants_gateway_api(on())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4", 4),
        ("500m", 0.5),
        ("2Gi", 2**31),
        ("3906024Ki", 3906024 * 1024),
        ("x", None),
        ("", None),
    ],
)
def test_quantities(text, expected):
    assert quantity(text) == expected


@given(st.text(max_size=12))
def test_any_text_is_a_quantity_or_not(text):
    assert quantity(text) is None or quantity(text) >= 0


def test_skew_is_told_in_words():
    [outcome] = linkerd.clocks(on(node(), lease(age=timedelta(minutes=10).total_seconds())))
    assert "10 min behind" in outcome.seen
