"""In a pod: the service account as a way in, against the rehearsal's API server."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from kubernetes import client, config
from kubernetes.config import incluster_config

from runbook.cluster import connect
from runbook.errors import ApiError, ForbiddenError, GuardError, UsageError
from runbook.helm import open_helm
from runbook.kubeconfig import IN_CLUSTER, open_access
from runbook.params import Params
from runbook.rehearsal import Twin

RBAC = "rbac.authorization.k8s.io/v1"
IN_POD = Params(cluster=IN_CLUSTER)


class Pod:
    """What a pod finds: its variables, and the files of its service account."""

    def __init__(self, twin: Twin, directory: Path) -> None:
        self.token_file = directory / "token"
        self.ca_file = directory / "ca.crt"
        self.ca_file.write_bytes((twin.directory / "tls" / "ca.crt").read_bytes())
        self._api = config.new_client_from_config(str(twin.kubeconfig), "rehearsal")

    def close(self) -> None:
        self._api.close()

    def mount(self, account: str) -> None:
        """Put a new token of a service account where the kubelet puts it."""
        wanted = {"spec": {"audiences": [], "expirationSeconds": 600}}
        core = client.CoreV1Api(self._api)
        issued = core.create_namespaced_service_account_token(account, "default", wanted)
        self.token_file.write_text(issued.status.token)

    def account(self, name: str, *verbs: str, resources: tuple[str, ...] = ()) -> None:
        """Make a service account that may do this everywhere."""
        core, rbac = client.CoreV1Api(self._api), client.RbacAuthorizationV1Api(self._api)
        core.create_namespaced_service_account("default", {"metadata": {"name": name}})
        if verbs:
            rule = {"apiGroups": [""], "resources": list(resources), "verbs": list(verbs)}
            rbac.create_cluster_role({"metadata": {"name": name}, "rules": [rule]})
            subject = {"kind": "ServiceAccount", "name": name, "namespace": "default"}
            role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
            binding = {"metadata": {"name": name}, "subjects": [subject], "roleRef": role}
            rbac.create_cluster_role_binding(binding)


@pytest.fixture(scope="module")
def twin() -> Iterator[Twin]:
    with Twin(content=False, controllers=False, kubelet=False) as running:
        made = Pod(running, running.directory)
        made.account("reader", "get", "list", resources=("namespaces", "secrets"))
        made.account("nobody")
        made.close()
        yield running


@pytest.fixture
def pod(twin: Twin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pod]:
    made = Pod(twin, tmp_path)
    made.mount("reader")
    address = urlsplit(twin.url)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", str(address.hostname))
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(address.port))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "absent"))
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(made.token_file))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(made.ca_file))
    yield made
    made.close()


def test_a_pod_reads_with_its_service_account(pod: Pod, twin: Twin) -> None:
    cluster = connect(IN_POD)
    assert (cluster.name, cluster.server) == (IN_CLUSTER, twin.url)
    assert cluster.uid
    assert cluster.find("v1", "Secret", "absent", "default") is None
    with pytest.raises(ForbiddenError, match="configmaps"):
        list(cluster.list("v1", "ConfigMap", "default"))
    with pytest.raises(GuardError):
        connect(Params(cluster=IN_CLUSTER, cluster_uid="0b4b7e5c-1111-2222-3333-444455556666"))
    cluster.close()


def test_the_server_is_verified(pod: Pod) -> None:
    with Twin(content=False, controllers=False, kubelet=False) as other:
        pod.ca_file.write_bytes((other.directory / "tls" / "ca.crt").read_bytes())
    with pytest.raises(Exception, match="certificate"):
        connect(IN_POD)


def test_a_token_of_nobody_is_refused(pod: Pod) -> None:
    pod.token_file.write_text("no-such-token")
    with pytest.raises(ApiError) as caught:
        connect(IN_POD)
    assert caught.value.code == 401


def test_a_replaced_token_is_used(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    loader = incluster_config.InClusterConfigLoader
    read = loader._read_token_file

    def read_long_ago(self: incluster_config.InClusterConfigLoader) -> None:
        read(self)
        self.token_expires_at = datetime.min

    monkeypatch.setattr(loader, "_read_token_file", read_long_ago)
    cluster = connect(IN_POD)
    assert list(cluster.list("v1", "Secret", "default")) == []
    pod.mount("nobody")
    with pytest.raises(ForbiddenError):
        list(cluster.list("v1", "Secret", "default"))
    cluster.close()


def test_helm_uses_the_same_account(pod: Pod) -> None:
    cluster = connect(IN_POD)
    helm = open_helm(cluster)
    assert helm.history("absent", "default") == []
    pod.mount("nobody")
    with pytest.raises(ForbiddenError):
        open_helm(cluster).history("absent", "default")
    cluster.close()


def test_the_kubeconfig_for_helm_is_private_and_goes(pod: Pod) -> None:
    access = open_access(IN_CLUSTER, "")
    path = Path(access.kubeconfig)
    assert path.stat().st_mode & 0o777 == 0o600
    assert pod.token_file.read_text() not in path.read_text()
    assert json.loads(path.read_text())["users"][0]["user"] == {"tokenFile": str(pod.token_file)}
    access.client.close()
    del access
    gc.collect()
    assert not path.exists()


def test_outside_a_pod_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(UsageError, match="this does not run in a pod") as caught:
        connect(IN_POD)
    assert "Service host/port is not set" in caught.value.why
    assert "automountServiceAccountToken" in caught.value.fix


def test_a_pod_without_its_account_is_said(pod: Pod) -> None:
    pod.token_file.unlink()
    with pytest.raises(UsageError, match="no service account") as caught:
        connect(IN_POD)
    assert "token file does not exist" in caught.value.why


def test_a_context_of_that_name_is_a_context(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(json.dumps({"contexts": [{"name": "other", "context": {}}]}))
    with pytest.raises(UsageError, match="no context 'in-cluster'"):
        connect(Params(cluster=IN_CLUSTER, kubeconfig=str(path)))
