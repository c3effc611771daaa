"""What ECK makes for an Elasticsearch or a Kibana.

Its pods have no service account token unless their template asks for one, and the StatefulSets are
``OnDelete``: ECK replaces pods itself (cloud-on-k8s, ``common/defaults/pod_template.go`` and
``elasticsearch/nodespec/statefulset.go``).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

from runbook.rehearsal.client import Object, Resource
from runbook.rehearsal.controllers import kinds

__all__ = ["ELASTICSEARCHES", "KIBANAS", "elasticsearch", "kibana"]

ELASTICSEARCHES = Resource("elasticsearch.k8s.elastic.co", "v1", "elasticsearches", "Elasticsearch")
KIBANAS = Resource("kibana.k8s.elastic.co", "v1", "kibanas", "Kibana")

_TYPE = "common.k8s.elastic.co/type"
_IMAGES = "docker.elastic.co"


def elasticsearch(obj: Object) -> Iterator[tuple[Resource, Object]]:
    """Give the Services of a cluster and the StatefulSet of each of its node sets."""
    name = obj["metadata"]["name"]
    cluster = {_TYPE: "elasticsearch", "elasticsearch.k8s.elastic.co/cluster-name": name}
    for suffix, port in (("http", 9200), ("transport", 9300)):
        spec: Object = {"selector": cluster, "ports": [{"name": suffix, "port": port}]}
        if suffix == "transport":
            spec["clusterIP"] = "None"
        yield kinds.SERVICES, {**_meta(ELASTICSEARCHES, obj, f"{name}-es-{suffix}"), "spec": spec}
    image = f"{_IMAGES}/elasticsearch/elasticsearch:{obj['spec']['version']}"
    for node_set in obj["spec"]["nodeSets"]:
        full = f"{name}-es-{node_set['name']}"
        labels = {**cluster, "elasticsearch.k8s.elastic.co/statefulset-name": full}
        main = {
            "name": "elasticsearch",
            "image": image,
            "ports": [
                {"name": "http", "containerPort": 9200},
                {"name": "transport", "containerPort": 9300},
            ],
        }
        spec = {
            "serviceName": full,
            "replicas": node_set["count"],
            "podManagementPolicy": "Parallel",
            "updateStrategy": {"type": "OnDelete"},
            "selector": {"matchLabels": labels},
            "template": _template(node_set.get("podTemplate"), labels, main),
        }
        made = _meta(ELASTICSEARCHES, obj, full)
        made["metadata"]["labels"] = cluster
        yield kinds.STATEFUL_SETS, {**made, "spec": spec}


def kibana(obj: Object) -> Iterator[tuple[Resource, Object]]:
    """Give the Service and the Deployment of a Kibana."""
    name = obj["metadata"]["name"]
    labels = {_TYPE: "kibana", "kibana.k8s.elastic.co/name": name}
    ports = [{"name": "http", "port": 5601}]
    service = {"selector": labels, "ports": ports}
    yield kinds.SERVICES, {**_meta(KIBANAS, obj, f"{name}-kb-http"), "spec": service}
    main = {
        "name": "kibana",
        "image": f"{_IMAGES}/kibana/kibana:{obj['spec']['version']}",
        "ports": [{"name": "http", "containerPort": 5601}],
    }
    spec = {
        "replicas": obj["spec"].get("count", 1),
        "selector": {"matchLabels": labels},
        "strategy": {"type": "RollingUpdate"},
        "template": _template(obj["spec"].get("podTemplate"), labels, main),
    }
    made = _meta(KIBANAS, obj, f"{name}-kb")
    made["metadata"]["labels"] = labels
    yield kinds.DEPLOYMENTS, {**made, "spec": spec}


def _template(given: Object | None, labels: dict[str, str], main: Object) -> Object:
    """Give a pod template: the owner's, with what ECK adds."""
    template = copy.deepcopy(given or {})
    meta = template.setdefault("metadata", {})
    meta["labels"] = {**(meta.get("labels") or {}), **labels}
    spec = template.setdefault("spec", {})
    spec.setdefault("automountServiceAccountToken", False)
    containers = spec.setdefault("containers", [])
    own = next((one for one in containers if one["name"] == main["name"]), None)
    if own is None:
        containers.append(main)
    else:
        own.update({key: value for key, value in main.items() if key not in own})
    return template


def _meta(resource: Resource, owner: Object, name: str) -> Object:
    return {
        "metadata": {
            "name": name,
            "namespace": owner["metadata"]["namespace"],
            "ownerReferences": [kinds.owner_reference(resource, owner)],
        }
    }
