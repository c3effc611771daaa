"""Prometheus in the rehearsal: its content, its definitions, the operator, mishaps."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator
from typing import Any

import pytest
from controllers_help import condition, events, namespace, until
from monitoring_help import (
    NAME,
    SPACE,
    Server,
    configuration,
    jobs,
    monitor,
    remove_monitors,
)

from runbook.errors import ApiError, InvalidError, NotFoundError
from runbook.rehearsal import Twin, mishaps
from runbook.rehearsal.client import Client
from runbook.rehearsal.controllers import kinds
from runbook.rehearsal.controllers.prometheusoperator.kinds import POD_MONITORS, PROMETHEUSES

Object = dict[str, Any]
POD = f"prometheus-{NAME}-0"


@pytest.fixture(scope="module")
def client(twin: Twin) -> Client:
    found = Client.from_kubeconfig(twin.kubeconfig)
    namespace(found, "linkerd")
    return found


@pytest.fixture
def undisturbed(twin: Twin, client: Client) -> Iterator[None]:
    """Put everything back that a test has changed."""
    spec = client.get(PROMETHEUSES, NAME, SPACE)["spec"]
    yield
    twin.faults.clear()
    remove_monitors(client)
    wanted = {"podMonitorSelector": spec["podMonitorSelector"], "replicas": spec["replicas"]}
    client.patch(PROMETHEUSES, NAME, {"spec": wanted}, SPACE)
    until(lambda: "scrape_configs" in configuration(client) and not jobs(client))


def test_the_stack_is_there(client: Client) -> None:
    made = client.get(PROMETHEUSES, NAME, SPACE)
    assert condition(made, "Available") == ("True", "")
    assert condition(made, "Reconciled") == ("True", "")
    assert made["spec"]["podMonitorSelector"] == {
        "matchLabels": {"release": made["metadata"]["labels"]["release"]}
    }
    pod = client.get(kinds.PODS, POD, SPACE)
    assert [c["name"] for c in pod["spec"]["containers"]] == ["prometheus", "config-reloader"]
    assert pod["metadata"]["labels"]["operator.prometheus.io/name"] == NAME
    operated = client.get(kinds.SERVICES, "prometheus-operated", SPACE)
    assert (operated["spec"]["clusterIP"], operated["spec"]["ports"][0]["name"]) == (
        "None",
        "http-web",
    )
    grafana = client.get(kinds.DEPLOYMENTS, "kube-prometheus-stack-grafana", SPACE)
    names = [c["name"] for c in grafana["spec"]["template"]["spec"]["containers"]]
    assert names == ["grafana-sc-dashboard", "grafana-sc-datasources", "grafana"]
    assert configuration(client)["scrape_configs"] == []


def test_the_password_of_grafana_is_its_own_in_each_cluster(client: Client) -> None:
    data = client.get(kinds.SECRETS, "kube-prometheus-stack-grafana", SPACE)["data"]
    assert b64decode(data["admin-user"]) == b"admin"
    with Twin(controllers=False) as other:
        again = Client.from_kubeconfig(other.kubeconfig)
        found = again.get(kinds.SECRETS, "kube-prometheus-stack-grafana", SPACE)["data"]
    assert len(b64decode(data["admin-password"])) >= 16
    assert data["admin-password"] != found["admin-password"]


class TestPodMonitors:
    """What the API server takes as a PodMonitor."""

    def post(self, client: Client, obj: Object, validation: str) -> Object:
        body = {"apiVersion": "monitoring.coreos.com/v1", "kind": "PodMonitor", **obj}
        query = {"fieldValidation": validation, "dryRun": "All"}
        path = POD_MONITORS.path(SPACE)
        found: Object = client.request("POST", path, query=query, body=body)
        return found

    def test_an_unknown_field_is_refused_or_dropped(self, client: Client) -> None:
        wrong = monitor("m", {"source_labels": ["x"], "targetLabel": "y"})
        with pytest.raises(
            ApiError, match=r'unknown field "spec.podMetricsEndpoints\[0\]'
        ) as caught:
            self.post(client, wrong, "Strict")
        assert caught.value.code == 400
        made = self.post(client, wrong, "Warn")
        (endpoint,) = made["spec"]["podMetricsEndpoints"]
        assert endpoint["relabelings"] == [{"targetLabel": "y", "action": "replace"}]

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"interval": "10"}, "podMetricsEndpoints[0].interval"),
            ({"relabelings": [{"action": "copy"}]}, 'Unsupported value: "copy"'),
            ({"relabelings": [{"sourceLabels": "x"}]}, "sourceLabels"),
            ({"portNumber": 70000}, "portNumber"),
        ],
    )
    def test_a_wrong_value_is_refused(self, client: Client, change: Object, said: str) -> None:
        wrong = monitor("m")
        wrong["spec"]["podMetricsEndpoints"] = [change]
        with pytest.raises(InvalidError) as caught:
            self.post(client, wrong, "Strict")
        assert said in str(caught.value)


@pytest.mark.usefixtures("undisturbed")
class TestOperator:
    """From PodMonitors to a configuration."""

    def job(self, client: Client, obj: Object) -> Object:
        client.create(POD_MONITORS, obj)
        name = "podMonitor/" + "/".join(kinds.key(obj)) + "/0"
        return until(lambda: jobs(client).get(name))

    def test_the_rules_come_in_the_operators_order(self, client: Client) -> None:
        expressions = [
            {"key": "a/b", "operator": "In", "values": ["x", "y"]},
            {"key": "c", "operator": "NotIn", "values": ["z"]},
            {"key": "d", "operator": "Exists"},
            {"key": "e", "operator": "DoesNotExist"},
        ]
        endpoint = {
            "port": "web",
            "path": "/own",
            "honorTimestamps": False,
            "scrapeTimeout": "5s",
            "interval": "15s",
            "relabelings": [{"action": "LabelMap", "regex": "x_(.+)"}],
            "metricRelabelings": [
                {"action": "drop", "sourceLabels": ["__name__"], "regex": "g_.*"}
            ],
        }
        found = self.job(
            client,
            monitor(
                "order",
                selector={"matchLabels": {"group": "one"}, "matchExpressions": expressions},
                podTargetLabels=["k8s/name"],
                jobLabel="own-job",
                podMetricsEndpoints=[endpoint],
            ),
        )
        rules = found.pop("relabel_configs")
        assert found == {
            "job_name": f"podMonitor/{SPACE}/order/0",
            "honor_labels": False,
            "honor_timestamps": False,
            "kubernetes_sd_configs": [{"role": "pod", "namespaces": {"names": ["linkerd"]}}],
            "scrape_interval": "15s",
            "scrape_timeout": "5s",
            "metrics_path": "/own",
            "metric_relabel_configs": [
                {"source_labels": ["__name__"], "regex": "g_.*", "action": "drop"}
            ],
        }
        meta = "__meta_kubernetes_pod"
        assert [
            (rule.get("action", ""), rule.get("source_labels", []), rule.get("regex", ""))
            for rule in rules[:7]
        ] == [
            ("", ["job"], ""),
            ("drop", [f"{meta}_phase"], "(Failed|Succeeded)"),
            ("keep", [f"{meta}_label_group", f"{meta}_labelpresent_group"], "(one);true"),
            ("keep", [f"{meta}_label_a_b", f"{meta}_labelpresent_a_b"], "(x|y);true"),
            ("drop", [f"{meta}_label_c", f"{meta}_labelpresent_c"], "(z);true"),
            ("keep", [f"{meta}_labelpresent_d"], "true"),
            ("drop", [f"{meta}_labelpresent_e"], "true"),
        ]
        assert rules[7:] == [
            {"action": "keep", "source_labels": [f"{meta}_container_port_name"], "regex": "web"},
            {"source_labels": ["__meta_kubernetes_namespace"], "target_label": "namespace"},
            {"source_labels": [f"{meta}_container_name"], "target_label": "container"},
            {"source_labels": [f"{meta}_name"], "target_label": "pod"},
            {
                "source_labels": [f"{meta}_label_k8s_name"],
                "target_label": "k8s_name",
                "regex": "(.+)",
                "replacement": "${1}",
            },
            {"target_label": "job", "replacement": f"{SPACE}/order"},
            {
                "source_labels": [f"{meta}_label_own_job"],
                "target_label": "job",
                "regex": "(.+)",
                "replacement": "${1}",
            },
            {"target_label": "endpoint", "replacement": "web"},
            {"regex": "x_(.+)", "action": "labelmap"},
        ]

    def test_namespaces_and_port_numbers(self, client: Client) -> None:
        everywhere = monitor("any", namespaceSelector={"any": True})
        everywhere["spec"]["podMetricsEndpoints"] = [{"portNumber": 4191}]
        found = self.job(client, everywhere)
        assert found["kubernetes_sd_configs"] == [{"role": "pod"}]
        assert {
            "action": "keep",
            "source_labels": ["__meta_kubernetes_pod_container_port_number"],
            "regex": 4191,
        } in found["relabel_configs"]
        own = self.job(client, monitor("own", namespaceSelector={}))
        assert own["kubernetes_sd_configs"][0]["namespaces"] == {"names": [SPACE]}

    def test_only_what_is_selected(self, client: Client) -> None:
        client.create(POD_MONITORS, monitor("foreign", release="another"))
        self.job(client, monitor("ours", namespace="linkerd"))
        assert list(jobs(client)) == ["podMonitor/linkerd/ours/0"]
        client.patch(
            PROMETHEUSES, NAME, {"spec": {"podMonitorSelector": {"matchLabels": None}}}, SPACE
        )
        until(lambda: len(jobs(client)) == 2)  # an empty selector selects everything
        client.patch(PROMETHEUSES, NAME, {"spec": {"podMonitorSelector": None}}, SPACE)
        until(lambda: not jobs(client))  # and a missing one nothing

    def test_an_invalid_monitor_is_left_out_with_an_event(self, client: Client) -> None:
        wrong = {"action": "keep", "sourceLabels": ["x"], "regex": "(a"}
        client.create(POD_MONITORS, monitor("wrong", wrong))
        slow = {"interval": "5s", "scrapeTimeout": "10s"}
        client.create(POD_MONITORS, monitor("slow", podMetricsEndpoints=[slow]))
        self.job(client, monitor("right"))
        assert list(jobs(client)) == [f"podMonitor/{SPACE}/right/0"]
        (said,) = until(lambda: events(client, SPACE, "wrong", "InvalidConfiguration"))
        start = f'"{SPACE}/wrong" was rejected due to invalid configuration: endpoint[0]: '
        assert said.startswith(f"{start}relabelConfigs: [0]: invalid regex (a for relabel")
        (said,) = until(lambda: events(client, SPACE, "slow", "InvalidConfiguration"))
        assert said.endswith('scrapeTimeout "10s" greater than scrapeInterval "5s"')

    def test_without_its_pod_the_operator_does_nothing(self, client: Client) -> None:
        deployment = "kube-prometheus-stack-operator"
        client.patch(kinds.DEPLOYMENTS, deployment, {"spec": {"replicas": 0}}, SPACE)
        until(lambda: not list(client.list(kinds.PODS, SPACE, selector=f"app={deployment}")))
        client.create(POD_MONITORS, monitor("late"))
        assert not jobs(client)
        client.patch(kinds.DEPLOYMENTS, deployment, {"spec": {"replicas": 1}}, SPACE)
        until(lambda: jobs(client))


@pytest.mark.usefixtures("undisturbed")
class TestMishaps:
    """What goes wrong without anybody's help."""

    def test_prometheus_looks_for_other_labels(self, client: Client) -> None:
        client.create(POD_MONITORS, monitor("ours"))
        until(lambda: jobs(client))
        mishaps.mislabel_monitors(client)
        until(lambda: not jobs(client))

    def test_prometheus_is_not_there(self, client: Client) -> None:
        mishaps.stop_prometheus(client)
        until(lambda: client.find(kinds.PODS, POD, SPACE) is None)
        with pytest.raises(ApiError, match="no endpoints available for service") as caught:
            Server(client, SPACE, NAME).get("/-/ready")
        assert caught.value.code == 503

    def test_the_pod_of_prometheus_is_deleted(self, client: Client) -> None:
        before = until(lambda: client.find(kinds.PODS, POD, SPACE))["metadata"]["uid"]
        mishaps.delete_prometheus_pod(client)

        def another() -> bool:
            found = client.find(kinds.PODS, POD, SPACE)
            new = found is not None and found["metadata"]["uid"] != before
            return new and kinds.holds(found or {}, "Ready")

        until(another)


def test_without_the_definitions_there_is_no_prometheus() -> None:
    with Twin() as twin:
        client = Client.from_kubeconfig(twin.kubeconfig)
        mishaps.remove_monitoring(client)
        until(lambda: client.find(kinds.STATEFUL_SETS, f"prometheus-{NAME}", SPACE) is None)
        until(lambda: client.find(kinds.PODS, POD, SPACE) is None)
        with pytest.raises(NotFoundError):
            client.create(POD_MONITORS, monitor("late"))
