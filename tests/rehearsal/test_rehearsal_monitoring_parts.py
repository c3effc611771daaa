"""The parts of the stand-in for Prometheus: relabelling, formats, selectors, samples, targets."""

from __future__ import annotations

import http.server
import math
import threading
from typing import Any

import pytest

from runbook.rehearsal.images.prometheus import adapted
from runbook.rehearsal.kubelet import processes
from runbook.rehearsal.monitoring import answers, discovery, exposition, selectors
from runbook.rehearsal.monitoring.answers import Answers
from runbook.rehearsal.monitoring.jobs import Job
from runbook.rehearsal.monitoring.relabel import anchored, relabel
from runbook.rehearsal.monitoring.storage import Storage

LABELS = {"a": "one", "b": "two", "__meta_x_kind": "web"}


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"source_labels": ["a", "b"], "target_label": "c"}, {"c": "one;two"}),
        ({"source_labels": ["a"], "regex": "o(.*)", "target_label": "c"}, {"c": "ne"}),
        ({"source_labels": ["a"], "regex": "o", "target_label": "c"}, {}),
        ({"source_labels": ["a"], "target_label": "${1}_x", "replacement": "y"}, {"one_x": "y"}),
        ({"source_labels": ["a"], "target_label": "c", "replacement": "$1x"}, {}),
        ({"source_labels": ["a"], "target_label": "c", "replacement": "${1}x$$"}, {"c": "onex$"}),
        ({"target_label": "c", "replacement": "d"}, {"c": "d"}),
        ({"source_labels": ["none"], "target_label": "b"}, {"b": None}),
        ({"action": "labelmap", "regex": "__meta_x_(.+)"}, {"kind": "web"}),
        ({"action": "labeldrop", "regex": "a|b"}, {"a": None, "b": None}),
        ({"action": "labelkeep", "regex": "a"}, {"b": None, "__meta_x_kind": None}),
        ({"action": "uppercase", "source_labels": ["a"], "target_label": "a"}, {"a": "ONE"}),
        ({"action": "keep", "source_labels": ["a"], "regex": "one"}, {}),
        ({"action": "drop", "source_labels": ["a"], "regex": "on"}, {}),
        ({"action": "dropequal", "source_labels": ["a"], "target_label": "b"}, {}),
    ],
)
def test_relabelling(rule: dict[str, Any], expected: dict[str, str | None]) -> None:
    wanted = {k: v for k, v in {**LABELS, **expected}.items() if v is not None}
    assert relabel(LABELS, [rule]) == wanted


@pytest.mark.parametrize(
    "rule",
    [
        {"action": "keep", "source_labels": ["a"], "regex": "on"},
        {"action": "drop", "source_labels": ["a", "b"], "separator": "-", "regex": "one-two"},
        {"action": "keepequal", "source_labels": ["a"], "target_label": "b"},
    ],
)
def test_relabelling_drops(rule: dict[str, Any]) -> None:
    assert relabel(LABELS, [rule, {"target_label": "c", "replacement": "d"}]) is None


def test_rules_go_in_order() -> None:
    first = {"source_labels": ["a"], "target_label": "c"}
    second = {"source_labels": ["c"], "regex": "one", "action": "keep"}
    assert relabel(LABELS, [first, second]) == {**LABELS, "c": "one"}
    assert relabel(LABELS, [second, first]) is None


@pytest.mark.parametrize("pattern", ["(", "a(?=b)", r"(a)\1", "a++", "(?<!a)b", "*"])
def test_expressions_go_would_refuse(pattern: str) -> None:
    with pytest.raises(ValueError, match="error parsing regexp"):
        anchored(pattern)


def test_expressions_match_as_a_whole() -> None:
    assert anchored("a|ab").fullmatch("ab")
    assert anchored("(?i)AB.").fullmatch("ab\n")


def test_text_format() -> None:
    text = (
        "# HELP x Words, and {braces}.\n# TYPE x counter\n"
        'x{a="1",b="q\\"u\\\\o\\nte {}",} 2.5 1700000000123\n'
        "\nup 1\n"
        "nan NaN\ninf{ } +Inf\n"
    )
    first, up, nan, inf = exposition.parse(text)
    assert first.labels == {"__name__": "x", "a": "1", "b": 'q"u\\o\nte {}'}
    assert (first.value, first.stamp) == (2.5, 1700000000.123)
    assert (up.labels, up.value, up.stamp) == ({"__name__": "up"}, 1.0, None)
    assert math.isnan(nan.value)
    assert inf.value == math.inf


@pytest.mark.parametrize("text", ["<html>", "x{a=1} 2", 'x{a="1" 2', "x", "x one"])
def test_what_is_no_text_format(text: str) -> None:
    with pytest.raises(ValueError):
        list(exposition.parse(text))


@pytest.mark.parametrize(
    ("text", "matching", "other"),
    [
        ("up", {"__name__": "up", "job": "a"}, {"__name__": "down"}),
        ('up{job="a"}', {"__name__": "up", "job": "a"}, {"__name__": "up", "job": "b"}),
        ("up{job!='a'}", {"__name__": "up"}, {"__name__": "up", "job": "a"}),
        ('{__name__=~"a|b",}', {"__name__": "a"}, {"__name__": "ab"}),
        ('up{job!~"a.*"}', {"__name__": "up", "job": "b"}, {"__name__": "up", "job": "ab"}),
        ('up { job = "}{" } [5m]', {"__name__": "up", "job": "}{"}, {"__name__": "up"}),
    ],
)
def test_selectors(text: str, matching: dict[str, str], other: dict[str, str]) -> None:
    found = selectors.parse(text)
    assert found.matches(matching)
    assert not found.matches(other)
    assert found.range == (300.0 if "[" in text else 0.0)


@pytest.mark.parametrize(
    "text",
    ["sum(up)", "up + 1", "rate(x[1m])", "up{", "1", "up offset 5m", "{}", "up[5]", "Inf", ""],
)
def test_what_is_no_plain_selector(text: str) -> None:
    with pytest.raises(ValueError):
        selectors.parse(text)


def test_samples_become_stale() -> None:
    storage = Storage()
    key = storage.add({"__name__": "x", "a": "1"}, 100.0, 1.0)
    storage.add({"__name__": "x", "a": "1"}, 110.0, 2.0)
    storage.add({"__name__": "x", "a": "1"}, 110.0, 3.0)
    selector = selectors.parse("x")
    at = {moment: list(storage.instant(selector, moment)) for moment in (99, 105, 110, 409, 410)}
    labels = {"__name__": "x", "a": "1"}
    assert at == {99: [], 105: [(labels, 1.0)], 110: [(labels, 2.0)], 409: [(labels, 2.0)], 410: []}
    storage.end(key, 120.0)
    assert list(storage.instant(selector, 120.0)) == []
    everything = selectors.parse("x[1m]")
    assert list(storage.range(everything, 130.0)) == [(labels, [(100.0, 1.0), (110.0, 2.0)])]
    assert storage.labels(selector) == [labels]
    storage.forget(100.0 + 3605.0)
    assert list(storage.range(everything, 130.0)) == [(labels, [(110.0, 2.0)])]
    storage.forget(4000.0)
    assert storage.labels(selector) == []


POD: dict[str, Any] = {
    "metadata": {
        "name": "p",
        "namespace": "s",
        "uid": "u",
        "labels": {"linkerd.io/proxy-deployment": "d"},
        "annotations": {"note": "n"},
        "ownerReferences": [{"kind": "ReplicaSet", "name": "r", "controller": True}],
    },
    "spec": {
        "nodeName": "node1",
        "containers": [
            {
                "name": "c",
                "image": "i:1",
                "ports": [
                    {"name": "http", "containerPort": 80, "protocol": "TCP"},
                    {"containerPort": 81},
                ],
            },
            {"name": "bare", "image": "i:2"},
        ],
        "initContainers": [{"name": "init", "image": "i:3", "ports": [{"containerPort": 82}]}],
    },
    "status": {
        "podIP": "10.42.1.2",
        "hostIP": "10.0.0.12",
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [{"name": "c", "containerID": "containerd://1"}],
    },
}


def test_pods_are_discovered_as_by_prometheus() -> None:
    first, second, bare, init = discovery.targets([POD, {**POD, "status": {}}])
    assert first == {
        "__address__": "10.42.1.2:80",
        "__meta_kubernetes_namespace": "s",
        "__meta_kubernetes_pod_annotation_note": "n",
        "__meta_kubernetes_pod_annotationpresent_note": "true",
        "__meta_kubernetes_pod_container_id": "containerd://1",
        "__meta_kubernetes_pod_container_image": "i:1",
        "__meta_kubernetes_pod_container_init": "false",
        "__meta_kubernetes_pod_container_name": "c",
        "__meta_kubernetes_pod_container_port_name": "http",
        "__meta_kubernetes_pod_container_port_number": "80",
        "__meta_kubernetes_pod_container_port_protocol": "TCP",
        "__meta_kubernetes_pod_controller_kind": "ReplicaSet",
        "__meta_kubernetes_pod_controller_name": "r",
        "__meta_kubernetes_pod_host_ip": "10.0.0.12",
        "__meta_kubernetes_pod_ip": "10.42.1.2",
        "__meta_kubernetes_pod_label_linkerd_io_proxy_deployment": "d",
        "__meta_kubernetes_pod_labelpresent_linkerd_io_proxy_deployment": "true",
        "__meta_kubernetes_pod_name": "p",
        "__meta_kubernetes_pod_node_name": "node1",
        "__meta_kubernetes_pod_phase": "Running",
        "__meta_kubernetes_pod_ready": "true",
        "__meta_kubernetes_pod_uid": "u",
    }
    assert second["__address__"] == "10.42.1.2:81"
    assert bare["__address__"] == "10.42.1.2"
    assert "__meta_kubernetes_pod_container_port_number" not in bare
    assert (init["__address__"], init["__meta_kubernetes_pod_container_init"]) == (
        "10.42.1.2:82",
        "true",
    )


def test_targets_lead_through_the_api_server() -> None:
    job = {
        "job_name": "j",
        "scrape_interval": "5s",
        "kubernetes_sd_configs": [{"role": "pod", "namespaces": {"names": ["s", "t"]}}],
        "relabel_configs": [{"target_label": "own", "replacement": "x"}],
    }
    settings = {"global": {"external_labels": {"r": "$(POD_NAME)"}}, "scrape_configs": [job]}
    changed = adapted(settings, "https://127.0.0.1:6443", "prometheus-0")
    assert changed["global"]["external_labels"] == {"r": "prometheus-0"}
    (own,) = changed["scrape_configs"]
    assert job["kubernetes_sd_configs"], "what was given stays as it was"
    (discovered,) = own["http_sd_configs"]
    assert discovered["url"] == "https://127.0.0.1:6443/rehearsal/pods?namespaces=s,t"
    found = discovery.targets([POD])
    groups = [{"targets": [one.pop("__address__")], "labels": one} for one in found]
    made = Job(own, {})
    kept, dropped = made.targets(groups, "u")
    assert [target.url for target in kept] == [
        f"https://127.0.0.1:6443/api/v1/namespaces/s/pods/p:{port}/proxy/metrics"
        for port in (80, 81, 82)
    ]
    assert kept[0].labels == {"job": "j", "instance": "10.42.1.2:80", "own": "x"}
    (bare,) = dropped
    assert bare["__address__"] == "10.42.1.2"
    assert (made.interval, made.timeout) == ("5s", "5s"), "a timeout is not longer than that"


def test_labels_of_a_target_win_over_those_of_a_sample() -> None:
    target, exposed = {"job": "j", "pod": "p"}, {"__name__": "x", "pod": "own", "a": "1"}
    job = Job({"job_name": "j"}, {})
    assert job.sample_labels(exposed, target) == {
        "__name__": "x", "job": "j", "pod": "p", "exported_pod": "own", "a": "1",
    }  # fmt: skip
    honest = Job({"job_name": "j", "honor_labels": True}, {})
    assert honest.sample_labels(exposed, target) == {**target, **exposed}
    rules = [{"source_labels": ["__name__"], "regex": "x", "action": "drop"}]
    picky = Job({"job_name": "j", "metric_relabel_configs": rules}, {})
    assert picky.sample_labels(exposed, target) is None


@pytest.mark.parametrize(
    ("path", "query", "status", "kind"),
    [
        ("/api/v1/query", {"query": ["sum(up)"]}, 422, "execution"),
        ("/api/v1/query_range", {"query": ["up"]}, 422, "execution"),
        ("/api/v1/series", {"match[]": ["up or down"]}, 422, "execution"),
        ("/api/v1/series", {}, 400, "bad_data"),
        ("/api/v1/query", {}, 400, "bad_data"),
        ("/api/v1/query", {"query": ["up"], "time": ["soon"]}, 400, "bad_data"),
    ],
)
def test_what_the_stand_in_does_not_answer(
    path: str, query: dict[str, list[str]], status: int, kind: str
) -> None:
    found = Answers(Storage(), list, str).answer(path, query)
    assert found.status == status
    said = found.body.decode()
    assert '"status": "error"' in said
    assert f'"errorType": "{kind}"' in said
    assert ("plain selectors only" in said) == (status == 422)


def test_a_program_is_ready_when_it_says_so() -> None:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/-/ready" else 503)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        port = server.server_address[1]
        ready = [processes._answers(port, path) for path in ("/-/ready", "/other", "")]
        server.shutdown()
    assert ready == [True, False, True]
    assert not processes._answers(port, "/-/ready")


def test_numbers_are_written_as_by_prometheus() -> None:
    values = (0.0, 1.0, 0.25, 1764043200.0, 1.5e22, 2e-7, math.inf, -math.inf, math.nan, -3.5)
    written = [answers._number(value) for value in values]
    assert written == [
        "0", "1", "0.25", "1764043200", "15000000000000000000000", "0.0000002", "+Inf", "-Inf",
        "NaN", "-3.5",
    ]  # fmt: skip
