"""Deployments, DaemonSets, StatefulSets, Jobs, and what becomes of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from controllers_help import (
    condition,
    deployment,
    events,
    namespace,
    pods,
    rolled_out,
    template,
    until,
)

from runbook.rehearsal import Twin
from runbook.rehearsal.client import Client
from runbook.rehearsal.controllers import kinds
from runbook.rehearsal.controllers.cronjobs import next_time
from runbook.rehearsal.faults import Fault


@pytest.fixture(scope="module")
def client(twin: Twin) -> Client:
    return Client.from_kubeconfig(twin.kubeconfig)


@pytest.fixture
def space(client: Client, request: pytest.FixtureRequest) -> str:
    name = request.node.name.removeprefix("test_").replace("_", "-").replace("[", "-")
    return namespace(client, name.rstrip("]").lower()[:60])


def test_deployment_becomes_available(client: Client, space: str) -> None:
    deployment(client, space, "web", 2)
    done = until(lambda: rolled_out(client, space, "web"))
    assert condition(done, "Available") == ("True", "MinimumReplicasAvailable")
    assert condition(done, "Progressing") == ("True", "NewReplicaSetAvailable")
    assert done["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "1"
    (replica_set,) = client.list(kinds.REPLICA_SETS, space)
    digest = replica_set["metadata"]["labels"]["pod-template-hash"]
    assert replica_set["metadata"]["name"] == f"web-{digest}"
    assert replica_set["metadata"]["annotations"]["deployment.kubernetes.io/max-replicas"] == "3"
    first, second = pods(client, space, "web")
    assert first["metadata"]["name"].startswith(f"web-{digest}-")
    assert first["status"]["podIP"] != second["status"]["podIP"]
    assert first["spec"]["nodeName"] != second["spec"]["nodeName"]
    text = f"Scaled up replica set web-{digest} from 0 to 2"
    until(lambda: text in events(client, space, "web", "ScalingReplicaSet"))


def test_rollout_exchanges_pods_one_by_one(client: Client, space: str) -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    deployment(client, space, "web", 3, strategy=strategy)
    until(lambda: rolled_out(client, space, "web"))
    before = {pod["metadata"]["name"] for pod in pods(client, space, "web")}
    restart = {"kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z"}
    patch = {"spec": {"template": {"metadata": {"annotations": restart}}}}
    client.patch(kinds.DEPLOYMENTS, "web", patch, space)
    done = until(lambda: rolled_out(client, space, "web"))
    assert done["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"
    until(lambda: len(pods(client, space, "web")) == 3)
    assert not before & {pod["metadata"]["name"] for pod in pods(client, space, "web")}
    sizes = [r["spec"]["replicas"] for r in client.list(kinds.REPLICA_SETS, space)]
    assert sorted(sizes) == [0, 3]
    until(lambda: len(events(client, space, "web", "ScalingReplicaSet")) == 7)


def test_scaling_down_and_recreating(client: Client, space: str) -> None:
    deployment(client, space, "web", 3, strategy={"type": "Recreate"})
    until(lambda: rolled_out(client, space, "web"))
    client.patch(kinds.DEPLOYMENTS, "web", {"spec": {"replicas": 1}}, space)
    until(lambda: rolled_out(client, space, "web"))
    (old,) = until(lambda: pods(client, space, "web") if len(pods(client, space)) == 1 else None)
    image = [{"name": "c", "image": "nginx:2"}]
    client.patch(
        kinds.DEPLOYMENTS, "web", {"spec": {"template": {"spec": {"containers": image}}}}, space
    )
    until(lambda: rolled_out(client, space, "web"))
    (new,) = pods(client, space, "web")
    assert new["metadata"]["uid"] != old["metadata"]["uid"]
    assert new["status"]["containerStatuses"][0]["image"] == "nginx:2"


def test_pod_that_cannot_be_created_shows_on_the_deployment(client: Client, space: str) -> None:
    deployment(client, space, "web", serviceAccountName="nobody")
    failed = until(
        lambda: (
            found
            if condition(found := client.get(kinds.DEPLOYMENTS, "web", space), "ReplicaFailure")[0]
            else None
        )
    )
    assert condition(failed, "ReplicaFailure") == ("True", "FailedCreate")
    account = {"metadata": {"name": "nobody", "namespace": space}}
    client.create(kinds.SERVICE_ACCOUNTS, account)
    assert condition(until(lambda: rolled_out(client, space, "web")), "ReplicaFailure") == ("", "")


def test_daemon_set_runs_on_every_node_and_updates(client: Client, space: str) -> None:
    body = {
        "metadata": {"name": "agent", "namespace": space},
        "spec": {"selector": {"matchLabels": {"app": "agent"}}, "template": template("agent")},
    }
    client.create(kinds.DAEMON_SETS, body)

    def finished() -> Any:
        found = client.get(kinds.DAEMON_SETS, "agent", space)
        status = found.get("status") or {}
        seen = status.get("observedGeneration") == found["metadata"]["generation"]
        ready = status.get("numberReady") == status.get("updatedNumberScheduled") == 5
        return found if seen and ready else None

    until(finished)
    nodes = {pod["spec"]["nodeName"] for pod in pods(client, space)}
    assert nodes == {"master", "node1", "node2", "node3", "node4"}
    before = {pod["metadata"]["uid"] for pod in pods(client, space)}
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "nginx:2"}]}}}}
    client.patch(kinds.DAEMON_SETS, "agent", patch, space)
    until(finished)
    until(lambda: len(pods(client, space)) == 5)
    assert not before & {pod["metadata"]["uid"] for pod in pods(client, space)}


def test_stateful_set_starts_in_order(client: Client, space: str) -> None:
    body = {
        "metadata": {"name": "db", "namespace": space},
        "spec": {
            "replicas": 3,
            "serviceName": "db",
            "selector": {"matchLabels": {"app": "db"}},
            "template": template("db"),
        },
    }
    client.create(kinds.STATEFUL_SETS, body)

    def ready() -> bool:
        found = client.get(kinds.STATEFUL_SETS, "db", space)
        return (found.get("status") or {}).get("readyReplicas") == 3

    until(ready)
    found = {pod["metadata"]["name"]: pod for pod in pods(client, space)}
    assert sorted(found) == ["db-0", "db-1", "db-2"]
    order = sorted(found, key=lambda name: int(found[name]["metadata"]["resourceVersion"]))
    assert order == ["db-0", "db-1", "db-2"]
    assert found["db-1"]["spec"]["hostname"] == "db-1"
    client.patch(kinds.STATEFUL_SETS, "db", {"spec": {"replicas": 1}}, space)
    until(lambda: [pod["metadata"]["name"] for pod in pods(client, space)] == ["db-0"])


def job(client: Client, space: str, name: str, **spec: Any) -> None:
    spec.setdefault("template", template(name, restartPolicy="Never"))
    client.create(kinds.JOBS, {"metadata": {"name": name, "namespace": space}, "spec": spec})


def ended(client: Client, space: str, name: str, kind: str = "Complete") -> Any:
    found = client.get(kinds.JOBS, name, space)
    return found if kinds.holds(found, kind) else None


def test_job_completes_and_counts_each_pod_once(client: Client, space: str) -> None:
    job(client, space, "three", completions=3, parallelism=2)
    done = until(lambda: ended(client, space, "three"))
    assert done["status"]["succeeded"] == 3
    assert done["status"]["uncountedTerminatedPods"] == {}
    assert condition(done, "SuccessCriteriaMet") == ("True", "CompletionsReached")
    assert "completionTime" in done["status"]
    found = pods(client, space)
    assert [pod["status"]["phase"] for pod in found] == ["Succeeded"] * 3
    until(lambda: not any(pod["metadata"].get("finalizers") for pod in pods(client, space)))


def test_pods_of_a_deleted_job_go_though_another_has_its_name(client: Client, space: str) -> None:
    forever = template("x", restartPolicy="Never")
    forever["spec"]["containers"][0] |= {"name": "fortio", "image": "fortio/fortio:1"}
    forever["spec"]["containers"][0]["args"] = ["server"]
    job(client, space, "load", template=forever)
    (first,) = until(lambda: list(client.list(kinds.PODS, space)))
    left = {
        "metadata": {
            "name": "left",
            "finalizers": ["batch.kubernetes.io/job-tracking"],
            "ownerReferences": [
                {**first["metadata"]["ownerReferences"][0], "uid": "that-of-a-job-that-is-gone"}
            ],
        },
        "spec": first["spec"],
    }
    client.create(kinds.PODS, {**left, "metadata": {**left["metadata"], "namespace": space}})
    until(lambda: client.find(kinds.PODS, "left", space) is None)
    kept = client.get(kinds.PODS, first["metadata"]["name"], space)
    assert kept["metadata"]["finalizers"], "those of the Job that is there are still tracked"


def test_indexed_job_has_one_pod_per_index(client: Client, space: str) -> None:
    job(client, space, "rows", completions=4, parallelism=4, completionMode="Indexed")
    done = until(lambda: ended(client, space, "rows"))
    assert done["status"]["completedIndexes"] == "0-3"
    numbers = {
        pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"]
        for pod in pods(client, space)
    }
    assert numbers == {"0", "1", "2", "3"}


def test_job_gives_up_after_its_backoff_limit(twin: Twin, client: Client, space: str) -> None:
    number = twin.faults.set(Fault("crash", namespace=space, message="no such table"))
    job(client, space, "load", backoffLimit=0)
    done = until(lambda: ended(client, space, "load", "Failed"))
    twin.faults.clear(number)
    assert condition(done, "Failed") == ("True", "BackoffLimitExceeded")
    assert done["status"]["failed"] == 1


def test_classic_sidecar_keeps_a_job_from_completing(client: Client, space: str) -> None:
    proxy = {
        "name": "linkerd-proxy",
        "image": "cr.l5d.io/linkerd/proxy:stable-2.14.10",
        "env": [{"name": "LINKERD2_PROXY_IDENTITY_TRUST_ANCHORS", "value": "-----BEGIN CERT"}],
    }
    work = {"name": "c", "image": "busybox"}
    stuck = template("stuck", restartPolicy="Never", containers=[work, proxy])
    job(client, space, "stuck", template=stuck)
    native = {**proxy, "restartPolicy": "Always"}
    free = template("free", restartPolicy="Never", initContainers=[native], containers=[work])
    job(client, space, "free", template=free)
    awaited = {**work, "command": ["linkerd-await", "--shutdown", "--", "true"]}
    ends = template("ends", restartPolicy="Never", containers=[awaited, proxy])
    job(client, space, "ends", template=ends)
    until(lambda: ended(client, space, "free"))
    until(lambda: ended(client, space, "ends"))
    (pod,) = pods(client, space, "stuck")
    states = {s["name"]: list(s["state"]) for s in pod["status"]["containerStatuses"]}
    assert states == {"c": ["terminated"], "linkerd-proxy": ["running"]}
    assert pod["status"]["phase"] == "Running"
    assert not kinds.holds(client.get(kinds.JOBS, "stuck", space), "Complete")


def test_cron_schedule() -> None:
    at = datetime(2026, 3, 31, 23, 59, 30, tzinfo=UTC)
    assert next_time("*/15 * * * *", at) == datetime(2026, 4, 1, 0, 0, tzinfo=UTC)
    assert next_time("0 9 * * 1-5", at) == datetime(2026, 4, 1, 9, 0, tzinfo=UTC)
    assert next_time("30 2 29 2 *", at) is None
    assert next_time("@monthly", at) == datetime(2026, 4, 1, 0, 0, tzinfo=UTC)
    assert next_time("0 0 13 * 5", at) == datetime(2026, 4, 3, 0, 0, tzinfo=UTC)


def test_cron_job_is_accepted_and_waits(client: Client, space: str) -> None:
    spec = {
        "schedule": "0 0 1 1 *",
        "jobTemplate": {"spec": {"template": template("x", restartPolicy="Never")}},
    }
    body = {"metadata": {"name": "yearly", "namespace": space}, "spec": spec}
    client.create(kinds.CRON_JOBS, body)
    assert not list(client.list(kinds.JOBS, space))


def test_service_gets_the_ready_pods(client: Client, space: str) -> None:
    ports = [{"containerPort": 8080, "name": "http"}]
    deployment(client, space, "web", 2, containers=[{"name": "c", "image": "n", "ports": ports}])
    body = {
        "metadata": {"name": "web", "namespace": space},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http"}]},
    }
    client.create(kinds.SERVICES, body)

    def full() -> Any:
        found = list(client.list(kinds.SLICES, space))
        ready = [e for e in (found[0]["endpoints"] or [] if found else [])]
        ok = len(ready) == 2 and all(e["conditions"]["ready"] for e in ready)
        return found[0] if ok else None

    piece = until(full)
    assert piece["ports"][0]["port"] == 8080
    assert piece["metadata"]["labels"]["kubernetes.io/service-name"] == "web"
    wanted = {pod["status"]["podIP"] for pod in pods(client, space)}
    assert {entry["addresses"][0] for entry in piece["endpoints"]} == wanted

    def addresses() -> set[str]:
        subsets = client.get(kinds.ENDPOINTS, "web", space).get("subsets") or [{}]
        return {entry["ip"] for entry in subsets[0].get("addresses") or []}

    until(lambda: addresses() == wanted)
    client.delete(kinds.SERVICES, "web", space)
    until(lambda: not list(client.list(kinds.SLICES, space)))
    until(lambda: client.find(kinds.ENDPOINTS, "web", space) is None)


def test_budget_counts_healthy_pods(client: Client, space: str) -> None:
    deployment(client, space, "web", 2)
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}
    client.create(kinds.BUDGETS, {"metadata": {"name": "web", "namespace": space}, "spec": spec})

    def allowed() -> bool:
        status = client.get(kinds.BUDGETS, "web", space).get("status") or {}
        return (status.get("currentHealthy"), status.get("disruptionsAllowed")) == (2, 1)

    until(allowed)


def test_pod_no_node_fits_says_why(client: Client, space: str) -> None:
    deployment(client, space, "web", nodeSelector={"kubernetes.io/arch": "amd64"})

    def refused() -> Any:
        found = pods(client, space)
        return found[0] if found and kinds.condition(found[0], "PodScheduled") else None

    pod = until(refused)
    assert condition(pod, "PodScheduled") == ("False", "Unschedulable")
    text = kinds.condition(pod, "PodScheduled")["message"]
    assert text.startswith(
        "0/5 nodes are available: 5 node(s) didn't match Pod's node affinity/selector."
    )
    until(lambda: events(client, space, pod["metadata"]["name"], "FailedScheduling") == [text])
    labels = {"metadata": {"labels": {"kubernetes.io/arch": "amd64"}}}
    client.patch(kinds.NODES, "node4", labels)
    until(lambda: rolled_out(client, space, "web"))
    client.patch(kinds.NODES, "node4", {"metadata": {"labels": {"kubernetes.io/arch": "arm64"}}})


@pytest.mark.parametrize("policy", ["Background", "Foreground"])
def test_deleting_a_deployment_takes_its_pods_along(
    client: Client, space: str, policy: str
) -> None:
    deployment(client, space, "web", 2)
    until(lambda: rolled_out(client, space, "web"))
    client.delete(kinds.DEPLOYMENTS, "web", space, policy=policy)
    until(lambda: not pods(client, space))
    until(lambda: not list(client.list(kinds.REPLICA_SETS, space)))
    until(lambda: client.find(kinds.DEPLOYMENTS, "web", space) is None)


def test_orphaned_replica_set_lives_on(client: Client, space: str) -> None:
    deployment(client, space, "web")
    until(lambda: rolled_out(client, space, "web"))
    client.delete(kinds.DEPLOYMENTS, "web", space, policy="Orphan")
    until(lambda: client.find(kinds.DEPLOYMENTS, "web", space) is None)
    (replica_set,) = client.list(kinds.REPLICA_SETS, space)
    assert not replica_set["metadata"].get("ownerReferences")
    assert len(pods(client, space)) == 1


def test_namespace_has_its_fixtures_and_ends_empty(client: Client, space: str) -> None:
    until(lambda: client.find(kinds.CONFIGMAPS, "kube-root-ca.crt", space))
    deployment(client, space, "web", 2)
    job(client, space, "once")
    client.create(kinds.SECRETS, {"metadata": {"name": "s", "namespace": space}})
    client.delete(kinds.NAMESPACES, space)
    until(lambda: client.find(kinds.NAMESPACES, space) is None)
    assert not pods(client, space)
    assert not list(client.list(kinds.SECRETS, space))


def test_namespace_waits_for_finalizers(client: Client, space: str) -> None:
    held = {"metadata": {"name": "held", "namespace": space, "finalizers": ["example.com/hold"]}}
    client.create(kinds.CONFIGMAPS, held)
    client.delete(kinds.NAMESPACES, space)

    def waiting() -> Any:
        found = client.get(kinds.NAMESPACES, space)
        return found if kinds.holds(found, "NamespaceFinalizersRemaining") else None

    found = until(waiting)
    assert found["status"]["phase"] == "Terminating"
    message = kinds.condition(found, "NamespaceFinalizersRemaining")["message"]
    assert "example.com/hold in 1 resource instances" in message
    client.patch(kinds.CONFIGMAPS, "held", {"metadata": {"finalizers": None}}, space)
    until(lambda: client.find(kinds.NAMESPACES, space) is None)


def test_nodes_are_ready_and_renew_their_leases(client: Client) -> None:
    nodes = list(client.list(kinds.NODES))
    assert len(nodes) == 5
    assert all(kinds.holds(node, "Ready") for node in nodes)
    leases = list(client.list(kinds.LEASES, "kube-node-lease"))
    assert {lease["spec"]["holderIdentity"] for lease in leases} == {
        node["metadata"]["name"] for node in nodes
    }
    assert all(kinds.age(lease["spec"]["renewTime"]) < 40 for lease in leases)
