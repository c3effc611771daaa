"""What the tests of the controllers share."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from runbook.rehearsal.client import Client
from runbook.rehearsal.controllers import kinds

T = TypeVar("T")
Object = dict[str, Any]


def until(look: Callable[[], T | None], seconds: float = 20) -> T:
    """Wait until ``look`` gives something."""
    end = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.01)


def namespace(client: Client, name: str, **annotations: str) -> str:
    notes = {key.replace("__", "."): value for key, value in annotations.items()}
    client.create(kinds.NAMESPACES, {"metadata": {"name": name, "annotations": notes}})
    until(lambda: client.find(kinds.SERVICE_ACCOUNTS, "default", name))
    return name


def template(app: str, *, annotations: Object | None = None, **spec: Any) -> Object:
    spec.setdefault("containers", [{"name": "c", "image": "nginx"}])
    return {"metadata": {"labels": {"app": app}, "annotations": annotations or {}}, "spec": spec}


def deployment(client: Client, space: str, name: str, replicas: int = 1, **given: Any) -> Object:
    fields = {key: given.pop(key) for key in ("strategy", "minReadySeconds") if key in given}
    return client.create(
        kinds.DEPLOYMENTS,
        {
            "metadata": {"name": name, "namespace": space},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": {"app": name}},
                "template": template(name, **given),
                **fields,
            },
        },
    )


def pods(client: Client, space: str, app: str = "") -> list[Object]:
    return list(client.list(kinds.PODS, space, selector=f"app={app}" if app else ""))


def rolled_out(client: Client, space: str, name: str) -> Object | None:
    """Give a Deployment whose rollout is complete."""
    found = client.get(kinds.DEPLOYMENTS, name, space)
    status = found.get("status") or {}
    wanted = found["spec"]["replicas"]
    counts = [status.get(k, 0) for k in ("replicas", "updatedReplicas", "availableReplicas")]
    seen = status.get("observedGeneration") == found["metadata"]["generation"]
    return found if seen and counts == [wanted] * 3 else None


def events(client: Client, space: str, name: str, reason: str) -> list[str]:
    return [
        event["message"]
        for event in client.list(kinds.EVENTS, space)
        if event["involvedObject"]["name"] == name and event["reason"] == reason
    ]


def condition(obj: Object, kind: str) -> tuple[str, str]:
    found = kinds.condition(obj, kind) or {}
    return found.get("status", ""), found.get("reason", "")
