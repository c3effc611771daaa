"""The real kubectl, unmodified, against the rehearsal cluster."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from runbook.rehearsal import Twin

pytestmark = pytest.mark.skipif(
    shutil.which("kubectl") is None, reason="kubectl is not installed on this machine"
)

Result = subprocess.CompletedProcess[str]


@dataclass(frozen=True)
class Kubectl:
    """Runs kubectl with its own home, in one namespace."""

    env: dict[str, str]
    namespace: str

    def __call__(self, *arguments: str, status: int = 0, text: str = "") -> Result:
        """Run one command and expect its exit status."""
        command = ["kubectl", "--namespace", self.namespace, *arguments]
        found = subprocess.run(
            command,
            check=False,
            env=self.env,
            input=text,
            capture_output=True,
            text=True,
            timeout=90,
        )
        assert found.returncode == status, f"{command}\n{found.stdout}\n{found.stderr}"
        return found

    def out(self, *arguments: str, text: str = "") -> str:
        return self(*arguments, text=text).stdout.strip()

    def get(self, *arguments: str) -> Any:
        return json.loads(self("get", *arguments, "-o", "json").stdout)


@pytest.fixture(scope="session")
def kubectl_env(pi_cluster: Twin, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    home = tmp_path_factory.mktemp("kubectl")
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "KUBECACHEDIR": str(home / "cache"),
        "KUBECONFIG": str(pi_cluster.kubeconfig),
    }


@pytest.fixture
def kubectl(kubectl_env: dict[str, str], namespace: str) -> Iterator[Kubectl]:
    yield Kubectl(kubectl_env, namespace)


def deployment(name: str = "web", replicas: int = 1, image: str = "nginx:1.27") -> str:
    labels = {"app": name}
    container = {
        "name": "web",
        "image": image,
        "ports": [{"name": "http", "containerPort": 80}],
        "env": [{"name": "COLOUR", "value": "green"}],
    }
    manifest = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }
    return yaml.safe_dump(manifest)


def configmap(name: str = "settings", **data: str) -> str:
    return yaml.safe_dump(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}
    )


@pytest.fixture
def running(kubectl: Kubectl) -> Kubectl:
    """Give a namespace in which the Deployment ``web`` runs."""
    kubectl("apply", "-f", "-", text=deployment())
    kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    return kubectl


def test_version(kubectl: Kubectl) -> None:
    server = json.loads(kubectl.out("version", "-o", "json"))["serverVersion"]
    assert server["gitVersion"].startswith("v1.35.")
    assert "+k3s" in server["gitVersion"]


def test_apply_creates_then_finds_nothing_to_do_then_configures(kubectl: Kubectl) -> None:
    first = kubectl.out("apply", "-f", "-", text=deployment())
    assert first == "deployment.apps/web created"
    assert kubectl.out("apply", "-f", "-", text=deployment()) == "deployment.apps/web unchanged"
    changed = kubectl.out("apply", "-f", "-", text=deployment(image="nginx:1.28"))
    assert changed == "deployment.apps/web configured"
    spec = kubectl.get("deployment", "web")["spec"]["template"]["spec"]
    assert spec["containers"][0]["image"] == "nginx:1.28"


def test_server_side_apply_and_its_conflicts(kubectl: Kubectl) -> None:
    apply = ("apply", "--server-side", "-f", "-")
    assert kubectl.out(*apply, text=configmap(a="1")) == "configmap/settings serverside-applied"
    other = kubectl(*apply, "--field-manager=other", status=1, text=configmap(a="2"))
    assert 'conflict with "kubectl"' in other.stderr
    assert ".data.a" in other.stderr
    kubectl(*apply, "--field-manager=other", "--force-conflicts", text=configmap(a="2"))
    assert kubectl.get("configmap", "settings")["data"] == {"a": "2"}
    managers = kubectl.get("configmap", "settings", "--show-managed-fields")["metadata"]
    assert [entry["manager"] for entry in managers["managedFields"]] == ["other"]


def test_server_side_apply_takes_over_what_apply_made(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", text=configmap(a="1", b="2"))
    kubectl("apply", "--server-side", "-f", "-", text=configmap(a="1"))
    assert kubectl.get("configmap", "settings")["data"] == {"a": "1"}


def test_apply_refuses_an_unknown_field_and_an_invalid_value(kubectl: Kubectl) -> None:
    manifest = yaml.safe_load(deployment())
    manifest["spec"]["colour"] = "green"
    refused = kubectl("apply", "-f", "-", status=1, text=yaml.safe_dump(manifest))
    assert 'unknown field "spec.colour"' in refused.stderr
    manifest = yaml.safe_load(deployment())
    manifest["spec"]["selector"]["matchLabels"] = {"app": "other"}
    refused = kubectl("apply", "-f", "-", status=1, text=yaml.safe_dump(manifest))
    assert "selector" in refused.stderr
    assert "is invalid" in refused.stderr


def test_dry_run_changes_nothing(kubectl: Kubectl) -> None:
    done = kubectl.out("apply", "--dry-run=server", "-f", "-", text=configmap(a="1"))
    assert done == "configmap/settings created (server dry run)"
    missing = kubectl("get", "configmap", "settings", status=1)
    assert missing.stderr.strip() == (
        'Error from server (NotFound): configmaps "settings" not found'
    )


def test_get_tables(running: Kubectl) -> None:
    wide = running.out("get", "deployments,pods", "-o", "wide").splitlines()
    assert wide[0].split() == [
        *("NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"),
        *("CONTAINERS", "IMAGES", "SELECTOR"),
    ]
    assert wide[1].split()[:4] == ["deployment.apps/web", "1/1", "1", "1"]
    heading, row = wide[3], wide[4]
    assert heading.split()[:7] == ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE"]
    assert row.split()[1:4] == ["1/1", "Running", "0"]
    nodes = running.out("get", "nodes").splitlines()
    assert nodes[0].split() == ["NAME", "STATUS", "ROLES", "AGE", "VERSION"]
    assert len(nodes) == 6  # a master and four workers


def test_get_yaml_json_jsonpath_and_name(running: Kubectl) -> None:
    document = yaml.safe_load(running.out("get", "deploy", "web", "-o", "yaml"))
    assert document["status"]["readyReplicas"] == 1
    assert running.get("deploy")["kind"] == "List"
    image = "{.spec.template.spec.containers[0].image}"
    assert running.out("get", "deploy", "web", "-o", f"jsonpath={image}") == "nginx:1.27"
    assert running.out("get", "deploy", "-o", "name") == "deployment.apps/web"
    assert running.out("get", "pods", "-l", "app=other", "--ignore-not-found") == ""
    columns = running.out("get", "deploy", "-o", "custom-columns=N:.metadata.name", "--no-headers")
    assert columns == "web"


def test_selectors_and_all_namespaces(running: Kubectl) -> None:
    pods = running.get("pods", "-l", "app in (web)", "--field-selector", "status.phase=Running")
    assert len(pods["items"]) == 1
    system = running.get("pods", "-A", "--field-selector", "metadata.namespace=kube-system")
    assert {item["metadata"]["namespace"] for item in system["items"]} == {"kube-system"}


def test_describe_a_deployment_and_its_pod(running: Kubectl) -> None:
    text = running.out("describe", "deployment", "web")
    assert "1 desired | 1 updated | 1 total | 1 available | 0 unavailable" in text
    assert "Scaled up replica set" in text
    pod = running.out("describe", "pods", "-l", "app=web")
    assert "Status:           Running" in pod
    assert "COLOUR:  green" in pod
    assert "Successfully assigned" in pod


def test_events(running: Kubectl) -> None:
    reasons = {event["reason"] for event in running.get("events")["items"]}
    assert {"ScalingReplicaSet", "SuccessfulCreate", "Scheduled", "Started"} <= reasons
    shown = running.out("events", "--for", "deployment/web")
    assert "ScalingReplicaSet" in shown


def test_wait_succeeds_and_times_out(running: Kubectl) -> None:
    wait = ("wait", "deployment/web", "--timeout=30s")
    done = running.out(*wait, "--for=condition=Available")
    assert done == "deployment.apps/web condition met"
    jsonpath = "--for=jsonpath={.status.readyReplicas}=1"
    assert running.out(*wait, jsonpath) == "deployment.apps/web condition met"
    late = running("wait", "deployment/web", "--for=condition=Paused", "--timeout=1s", status=1)
    assert late.stderr.strip() == ("error: timed out waiting for the condition on deployments/web")


def test_wait_for_delete(running: Kubectl) -> None:
    running("delete", "deployment", "web", "--wait=false")
    running("wait", "pods", "-l", "app=web", "--for=delete", "--timeout=60s")
    assert running.get("pods")["items"] == []


def test_rollout(running: Kubectl) -> None:
    running("set", "image", "deployment/web", "web=nginx:1.28")
    done = running.out("rollout", "status", "deployment/web", "--timeout=60s")
    assert 'deployment "web" successfully rolled out' in done
    assert "2" in running.out("rollout", "history", "deployment/web").split()
    running("rollout", "undo", "deployment/web")
    running("rollout", "status", "deployment/web", "--timeout=60s")
    spec = running.get("deployment", "web")["spec"]["template"]["spec"]
    assert spec["containers"][0]["image"] == "nginx:1.27"
    restarted = running.out("rollout", "restart", "deployment/web")
    assert restarted == "deployment.apps/web restarted"


def test_rollout_status_of_pods_that_cannot_start(kubectl: Kubectl) -> None:
    manifest = yaml.safe_load(deployment())
    manifest["spec"]["template"]["spec"]["nodeSelector"] = {"no": "such-node"}
    kubectl("apply", "-f", "-", text=yaml.safe_dump(manifest))
    stuck = kubectl("rollout", "status", "deployment/web", "--timeout=2s", status=1)
    assert "timed out waiting for the condition" in stuck.stderr


def test_logs(running: Kubectl) -> None:
    text = running.out("logs", "deployment/web")
    assert "nginx:1.27" in text
    assert running.out("logs", "-l", "app=web", "--tail=1") == text.splitlines()[-1]
    stamped = running.out("logs", "deployment/web", "--timestamps", "--tail=1")
    assert stamped.startswith("20")
    none = running("logs", "deployment/web", "--previous", status=1)
    assert 'previous terminated container "web" in pod' in none.stderr
    wrong = running("logs", "deployment/web", "-c", "other", status=1)
    assert "container other is not valid for pod" in wrong.stderr


@pytest.mark.parametrize(
    ("kind", "patch", "path", "expected"),
    [
        (
            "strategic",
            {"spec": {"template": {"spec": {"containers": [{"name": "web", "tty": True}]}}}},
            "{.spec.template.spec.containers[0].image} {.spec.template.spec.containers[0].tty}",
            "nginx:1.27 true",
        ),
        ("merge", {"metadata": {"labels": {"app": None, "tier": "x"}}}, "{.metadata.labels}", None),
        (
            "json",
            [{"op": "replace", "path": "/spec/replicas", "value": 2}],
            "{.spec.replicas}",
            "2",
        ),
    ],
)
def test_patch(kubectl: Kubectl, kind: str, patch: Any, path: str, expected: str | None) -> None:
    kubectl("apply", "-f", "-", text=deployment())
    arguments = ("patch", "deployment", "web", "--type", kind, "-p", json.dumps(patch))
    assert kubectl.out(*arguments) == "deployment.apps/web patched"
    found = kubectl.out("get", "deployment", "web", "-o", f"jsonpath={path}")
    assert found == (expected or '{"tier":"x"}')
    assert kubectl.out(*arguments) == "deployment.apps/web patched (no change)"


def test_a_patch_that_does_not_fit_is_refused(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", text=deployment())
    patch = '[{"op": "test", "path": "/spec/replicas", "value": 7}]'
    refused = kubectl("patch", "deployment", "web", "--type=json", "-p", patch, status=1)
    assert refused.stderr.startswith("The request is invalid: the server rejected our request")


def test_annotate_and_label(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", text=configmap(a="1"))
    done = kubectl.out("annotate", "configmap", "settings", "linkerd.io/inject=enabled")
    assert done == "configmap/settings annotated"
    assert kubectl.out("label", "configmap", "settings", "tier=web") == "configmap/settings labeled"
    taken = kubectl("label", "configmap", "settings", "tier=db", status=1)
    assert "already has a value (web), and --overwrite is false" in taken.stderr
    kubectl("label", "configmap", "settings", "tier=db", "--overwrite")
    kubectl("annotate", "configmap", "settings", "linkerd.io/inject-")
    metadata = kubectl.get("configmap", "settings")["metadata"]
    assert metadata["labels"] == {"tier": "db"}
    assert "linkerd.io/inject" not in metadata["annotations"]


def test_set_env(running: Kubectl) -> None:
    done = running.out("set", "env", "deployment/web", "COLOUR=blue", "SIZE=small")
    assert done == "deployment.apps/web env updated"
    listed = running.out("set", "env", "deployment/web", "--list").splitlines()
    assert listed[1:] == ["COLOUR=blue", "SIZE=small"]


def test_diff_says_with_its_status_whether_there_is_one(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", text=configmap(a="1"))
    same = kubectl("diff", "-f", "-", text=configmap(a="1"))
    assert same.stdout == ""
    changed = kubectl("diff", "-f", "-", status=1, text=configmap(a="2"))
    assert '-  a: "1"' in changed.stdout
    assert '+  a: "2"' in changed.stdout
    assert kubectl.get("configmap", "settings")["data"] == {"a": "1"}
    server_side = kubectl(
        "diff", "--server-side", "-f", "-", status=1, text=configmap("new", b="1")
    )
    assert "+kind: ConfigMap" in server_side.stdout


def test_scale(running: Kubectl) -> None:
    assert running.out("scale", "deployment/web", "--replicas=3") == "deployment.apps/web scaled"
    running("wait", "deployment/web", "--for=jsonpath={.status.readyReplicas}=3", "--timeout=60s")
    assert len(running.get("pods")["items"]) == 3
    wrong = running("scale", "deployment/web", "--replicas=1", "--current-replicas=7", status=1)
    assert "Expected replicas to be 7, was 3" in wrong.stderr


def test_delete(running: Kubectl) -> None:
    done = running.out("delete", "deployment", "web")
    assert done.startswith('deployment.apps "web" deleted')
    running("wait", "replicasets,pods", "--all", "--for=delete", "--timeout=60s")
    gone = running("delete", "deployment", "web", status=1)
    assert 'deployments.apps "web" not found' in gone.stderr
    assert running.out("delete", "deployment", "web", "--ignore-not-found") == ""


def test_create_and_delete_a_namespace(kubectl: Kubectl) -> None:
    assert kubectl.out("create", "namespace", "short") == "namespace/short created"
    again = kubectl("create", "namespace", "short", status=1)
    assert again.stderr.strip() == (
        'Error from server (AlreadyExists): namespaces "short" already exists'
    )
    kubectl("--namespace=short", "apply", "-f", "-", text=configmap(a="1"))
    labels = kubectl.get("namespace", "short")["metadata"]["labels"]
    assert labels == {"kubernetes.io/metadata.name": "short"}
    assert kubectl.out("delete", "namespace", "short") == 'namespace "short" deleted'
    kubectl("get", "namespace", "short", status=1)
    kubectl("--namespace=short", "get", "configmap", "settings", status=1)


def test_auth_can_i(kubectl: Kubectl) -> None:
    assert kubectl.out("auth", "can-i", "create", "deployments") == "yes"
    account = f"system:serviceaccount:{kubectl.namespace}:default"
    refused = kubectl("auth", "can-i", "list", "secrets", "--as", account, status=1)
    assert refused.stdout.strip() == "no"
    kubectl("create", "role", "reader", "--verb=list", "--resource=secrets")
    kubectl(
        *("create", "rolebinding", "reader", "--role=reader"),
        f"--serviceaccount={kubectl.namespace}:default",
    )
    assert kubectl.out("auth", "can-i", "list", "secrets", "--as", account) == "yes"
    forbidden = kubectl("get", "nodes", "--as", account, status=1)
    assert forbidden.stderr.strip() == (
        f'Error from server (Forbidden): nodes is forbidden: User "{account}" cannot list '
        'resource "nodes" in API group "" at the cluster scope'
    )
    assert "system:admin" in kubectl.out("auth", "whoami")


def test_api_resources_and_versions(kubectl: Kubectl) -> None:
    names = kubectl.out("api-resources", "-o", "name").splitlines()
    wanted = {"pods", "deployments.apps", "certificates.cert-manager.io", "podmonitors"}
    assert wanted <= {name.removesuffix(".monitoring.coreos.com") for name in names}
    cluster_wide = kubectl.out("api-resources", "--namespaced=false", "-o", "name").splitlines()
    assert "nodes" in cluster_wide
    assert "pods" not in cluster_wide
    versions = kubectl.out("api-versions").splitlines()
    assert {"v1", "apps/v1", "batch/v1", "cert-manager.io/v1"} <= set(versions)
    assert "batch/v1beta1" not in versions


def test_a_kind_the_server_does_not_know(kubectl: Kubectl) -> None:
    manifest = {"apiVersion": "batch/v1beta1", "kind": "CronJob", "metadata": {"name": "x"}}
    refused = kubectl("apply", "-f", "-", status=1, text=yaml.safe_dump(manifest))
    assert 'no matches for kind "CronJob" in version "batch/v1beta1"' in refused.stderr


def test_custom_resources(kubectl: Kubectl) -> None:
    crd = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "lamps.example.org"},
        "spec": {
            "group": "example.org",
            "scope": "Namespaced",
            "names": {"plural": "lamps", "singular": "lamp", "kind": "Lamp", "shortNames": ["lp"]},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "additionalPrinterColumns": [
                        {"name": "Colour", "type": "string", "jsonPath": ".spec.colour"}
                    ],
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "properties": {
                                "spec": {
                                    "type": "object",
                                    "required": ["colour"],
                                    "properties": {"colour": {"type": "string"}},
                                }
                            },
                        }
                    },
                }
            ],
        },
    }
    kubectl("apply", "-f", "-", text=yaml.safe_dump(crd))
    kubectl("wait", "crd/lamps.example.org", "--for=condition=Established", "--timeout=30s")
    lamp = {"apiVersion": "example.org/v1", "kind": "Lamp", "metadata": {"name": "desk"}}
    refused = kubectl("apply", "-f", "-", status=1, text=yaml.safe_dump({**lamp, "spec": {}}))
    assert "spec.colour: Required value" in refused.stderr
    kubectl("apply", "-f", "-", text=yaml.safe_dump({**lamp, "spec": {"colour": "red"}}))
    heading, row = kubectl.out("get", "lp").splitlines()
    assert heading.split() == ["NAME", "COLOUR"]
    assert row.split() == ["desk", "red"]
    kubectl("delete", "crd", "lamps.example.org")
    unknown = kubectl("get", "lamps", status=1)
    assert "Error from server (NotFound)" in unknown.stderr  # kubectl's discovery is cached


def test_get_watch_prints_changes_as_they_come(running: Kubectl) -> None:
    # All deployments, not one by name: of one, kubectl leaves out the first event of its watch,
    # and with it a change made between its GET and its watch.
    command = ["kubectl", "-n", running.namespace, "get", "deployments", "-w", "-o", "json"]
    with subprocess.Popen(command, env=running.env, stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        try:
            decoder, text = json.JSONDecoder(), ""
            running("annotate", "deployment", "web", "seen=yes")
            while True:
                line = watching.stdout.readline()
                assert line, f"kubectl ended early, status {watching.wait()}"
                text += line
                try:
                    document, _ = decoder.raw_decode(text)
                except ValueError:
                    continue
                text = ""
                if document["metadata"]["annotations"].get("seen") == "yes":
                    break
        finally:
            watching.terminate()


def test_cordon_and_uncordon(kubectl: Kubectl) -> None:
    name = kubectl.get("nodes")["items"][-1]["metadata"]["name"]
    assert kubectl.out("cordon", name) == f"node/{name} cordoned"
    assert "Ready,SchedulingDisabled" in kubectl.out("get", "node", name)
    assert kubectl.out("cordon", name) == f"node/{name} already cordoned"
    assert kubectl.out("uncordon", name) == f"node/{name} uncordoned"
    assert "SchedulingDisabled" not in kubectl.out("get", "node", name)


def test_replace_and_edit_with_a_stale_version_conflict(kubectl: Kubectl, tmp_path: Path) -> None:
    kubectl("create", "-f", "-", text=configmap(a="1"))
    stale = tmp_path / "stale.yaml"
    stale.write_text(kubectl.out("get", "configmap", "settings", "-o", "yaml"))
    kubectl("patch", "configmap", "settings", "-p", '{"data":{"a":"2"}}')
    refused = kubectl("replace", "-f", str(stale), status=1)
    assert "the object has been modified" in refused.stderr
    kubectl("replace", "-f", "-", text=configmap(a="3"))
    assert kubectl.get("configmap", "settings")["data"] == {"a": "3"}


def test_secrets_are_encoded(kubectl: Kubectl) -> None:
    kubectl("create", "secret", "generic", "login", "--from-literal=user=admin")
    assert kubectl.out("get", "secret", "login", "-o", "jsonpath={.data.user}") == "YWRtaW4="
    template = "--template={{.data.user | base64decode}}"
    assert kubectl.out("get", "secret", "login", template) == "admin"


def test_jobs_complete(kubectl: Kubectl) -> None:
    kubectl("create", "job", "once", "--image=busybox", "--", "true")
    done = kubectl.out("wait", "job/once", "--for=condition=Complete", "--timeout=60s")
    assert done == "job.batch/once condition met"
