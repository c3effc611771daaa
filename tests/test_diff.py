"""Comparable YAML: no server fields, no secrets, no noise of generated certificates."""

from __future__ import annotations

import base64

import yaml

from runbook import diff

LIVE = {
    "apiVersion": "v1",
    "kind": "Namespace",
    "metadata": {
        "name": "linkerd",
        "uid": "1",
        "resourceVersion": "2",
        "generation": 1,
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "managedFields": [{"manager": "x"}],
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"},
        "labels": {"a": "1"},
    },
    "status": {"phase": "Active"},
}


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def secret(key: str, crt: str = "crt") -> dict:
    data = {"tls.key": b64(key), "tls.crt": b64(crt)}
    meta = {"name": "s", "namespace": "linkerd"}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": data}


def test_server_fields_go_and_the_original_stays() -> None:
    clean = diff.normalised(LIVE)
    assert clean == {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "linkerd", "labels": {"a": "1"}},
    }
    assert LIVE["metadata"]["uid"] == "1"


def test_other_annotations_stay() -> None:
    obj = {"kind": "X", "metadata": {"name": "a", "annotations": {"k": "v"}}}
    assert diff.normalised(obj)["metadata"]["annotations"] == {"k": "v"}


def test_secret_values_never_show_but_their_change_does() -> None:
    before, after = secret("old private key"), secret("new private key")
    text = diff.yaml_diff(diff.hidden(before), diff.hidden(after, before))
    assert "+  tls.key: '[redacted] (different)'" in text
    assert b64("old private key") not in text
    assert b64("new private key") not in text
    assert diff.hidden(before, after)["data"]["tls.key"].endswith("(different)")
    assert diff.hidden(before, before)["data"]["tls.key"] == "[redacted]"


def test_diff_is_unified_and_reads() -> None:
    before = {"metadata": {"labels": {"a": "1"}}}
    after = {"metadata": {"labels": {"a": "2"}}}
    text = diff.yaml_diff(before, after)
    assert "-    a: '1'" in text
    assert "+    a: '2'" in text
    assert diff.yaml_diff(before, before) == ""
    created = diff.yaml_diff(None, after)
    assert all(line[0] == "+" for line in created.splitlines())
    assert diff.yaml_diff(None, {"a": 1}) == "+a: 1"


def test_long_texts_are_blocks() -> None:
    pem = "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n"
    text = diff.to_yaml({"ca.crt": pem})
    assert "ca.crt: |\n" in text
    assert yaml.safe_load(text) == {"ca.crt": pem}


def test_the_heartbeat_s_schedule_of_the_moment_is_steady() -> None:
    def heartbeat(schedule: str, name: str = "linkerd-heartbeat") -> dict[str, object]:
        spec = {"schedule": schedule, "concurrencyPolicy": "Replace"}
        return {"kind": "CronJob", "metadata": {"name": name}, "spec": spec}

    assert diff.steady(heartbeat("1 2 * * *")) == diff.steady(heartbeat("2 2 * * *"))
    assert diff.steady(heartbeat("1 2 * * *", "mine")) != diff.steady(
        heartbeat("2 2 * * *", "mine")
    )


def test_generated_certificates_are_steady() -> None:
    def rendered(random: str) -> list[dict]:
        hook = {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": "h"},
            "webhooks": [{"name": "w", "clientConfig": {"caBundle": random}}],
        }
        pods = {"metadata": {"annotations": {"checksum/config": random, "keep": "1"}}}
        deployment = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "d"},
            "spec": {"template": pods},
        }
        return [diff.steady(obj) for obj in (secret(random), hook, deployment)]

    assert rendered("one") == rendered("two")
    kept = rendered("one")[2]["spec"]["template"]["metadata"]["annotations"]
    assert kept == {"keep": "1"}


def test_a_text_too_long_to_be_read_is_told_by_its_checksum():
    long = "x" * 6000
    told = diff.yaml_diff(
        {"data": {"a": long, "b": "short"}}, {"data": {"a": long + "y", "b": "short"}}
    )
    assert len(told) < 400
    removed, added = [line for line in told.splitlines() if "characters" in line]
    assert removed.startswith("-  a: (6000 characters, SHA-256 ")
    assert added.startswith("+  a: (6001 characters, SHA-256 ")
    assert removed[10:] != added[10:]
    assert diff.yaml_diff({"data": {"a": long}}, {"data": {"a": long}}) == ""
